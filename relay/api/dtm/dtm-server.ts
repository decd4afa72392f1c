import { PostcommitError } from 'postcommit/protocol'
import type { Registry } from 'prom-client'
import { isLoopback } from '../loopback.ts'
import { createDtmApp } from './dtm-app.ts'
import { DtmStory } from './dtm-story.ts'
import { DtmTopics } from './dtm-topics.ts'
import { DtmTransactions, type DtmTransactionsOptions } from './dtm-transactions.ts'

/** How DTM's protocol is served. */
export interface DtmOptions {
  /** Where to listen, default DTM's port on this host only. */
  readonly listen?: { readonly host?: string; readonly port?: number }
  /** Default true: where DTM is less careful than this relay, its clients get this relay's care. */
  readonly strict?: boolean
  /** DTM has no authentication: listening beyond this host has to be wanted. */
  readonly allowExposed?: boolean
}

/** What DTM's protocol is served with. */
export interface DtmSurroundings extends Omit<DtmTransactionsOptions, 'strict'> {
  readonly registry: Registry
}

/** A running server. */
export interface DtmServer {
  readonly url: string
  close(): Promise<void>
}

/** Where DTM listens. */
const DTM_PORT = 36789
const HOST = '127.0.0.1'

/** DTM's routes over the transactions of a relay, not listening yet. */
export function openDtmApp(options: DtmOptions, surroundings: DtmSurroundings) {
  const { strict = true } = options
  const { client, tenant, addresses, registry } = surroundings
  return createDtmApp({
    transactions: new DtmTransactions({ ...surroundings, strict }),
    story: new DtmStory(client, tenant),
    topics: new DtmTopics(client, tenant, addresses),
    registry,
    strict,
  })
}

/**
 * Refuses to listen where others than this host could hand in transactions, unless that is wanted.
 * @throws `POSTCOMMIT_DTM_EXPOSED`.
 */
export function checkExposure({ listen = {}, allowExposed = false }: DtmOptions): void {
  const host = listen.host ?? HOST
  if (!isLoopback(host) && !allowExposed) throw new PostcommitError('POSTCOMMIT_DTM_EXPOSED', { address: host })
}

/**
 * Serves DTM's protocol.
 * @throws `POSTCOMMIT_DTM_EXPOSED`, `POSTCOMMIT_LISTEN_FAILED`.
 */
export async function startDtmServer(options: DtmOptions, surroundings: DtmSurroundings): Promise<DtmServer> {
  checkExposure(options)
  const { host = HOST, port = DTM_PORT } = options.listen ?? {}
  const app = openDtmApp(options, surroundings)
  try {
    const url = await app.listen({ host, port })
    return { url, close: () => app.close() }
  } catch (error) {
    await app.close()
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    throw new PostcommitError('POSTCOMMIT_LISTEN_FAILED', { address: `${host}:${port}`, reason }, { cause: error })
  }
}
