import type { FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'
import { type Listening, listen } from '../../http/http-server.ts'
import { createDtmApp, type DtmServed } from './dtm-app.ts'
import { DtmStory } from './dtm-story.ts'
import { DtmTopics } from './dtm-topics.ts'
import { DtmTransactions, type DtmTransactionsOptions } from './dtm-transactions.ts'
import { checkDtmExposure, DTM_HOST } from './exposure.ts'

/** How DTM's protocol is served. */
export interface DtmOptions {
  /** Address to listen on, default `127.0.0.1`. */
  readonly host?: string
  /** Default DTM's own, 36789; 0 takes a free one. */
  readonly port?: number
  /** Default true: where DTM is less careful than this relay, its clients get this relay's care. */
  readonly strict?: boolean
  /** DTM has no authentication: listening beyond this host has to be wanted. */
  readonly allowExposed?: boolean
  /** Bearer token demanded by `/api/metrics`; without it they are served to every request. */
  readonly metricsToken?: string
}

/** What DTM's operations are carried out with, as far as it is not there from the beginning. */
type DtmParts = Pick<DtmTransactionsOptions, 'client' | 'intake' | 'coordinator'>

/** What DTM's protocol is served with. */
export interface DtmSurroundings extends Omit<DtmTransactionsOptions, 'strict' | keyof DtmParts> {
  /** The transactions of the relay; undefined while they are not there yet, or not any more. */
  readonly transactions: () => { readonly parts: DtmParts } | undefined
  readonly registry: Registry
}

/** Where DTM listens. */
const PORT = 36789

/** DTM's routes over the transactions of a relay, not listening yet. */
export function openDtmApp(options: DtmOptions, surroundings: DtmSurroundings): FastifyInstance {
  const { strict = true, allowExposed = false, metricsToken } = options
  const { tenant, addresses, registry, transactions } = surroundings
  let known: { readonly parts: DtmParts; readonly served: DtmServed } | undefined
  return createDtmApp({
    served() {
      const parts = transactions()?.parts
      if (parts === undefined) return undefined
      if (known?.parts !== parts) {
        const { client } = parts
        known = {
          parts,
          served: {
            transactions: new DtmTransactions({ ...parts, tenant, addresses, strict }),
            story: new DtmStory(client, tenant),
            topics: new DtmTopics(client, tenant, addresses),
          },
        }
      }
      return known.served
    },
    registry,
    strict,
    allowExposed,
    metricsToken,
  })
}

/**
 * Serves DTM's protocol.
 * @throws `POSTCOMMIT_DTM_EXPOSED`, `POSTCOMMIT_LISTEN_FAILED`.
 */
export async function startDtmServer(options: DtmOptions, surroundings: DtmSurroundings): Promise<Listening> {
  checkDtmExposure(options)
  const { host = DTM_HOST, port = PORT } = options
  return await listen(openDtmApp(options, surroundings), 'dtm', { host, port })
}
