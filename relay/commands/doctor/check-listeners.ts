import { once } from 'node:events'
import { createServer } from 'node:net'
import type { RelayConfig } from '../../config/schema.ts'
import { isLoopback } from '../../http/loopback.ts'
import { reasonOf } from '../shell/sources.ts'
import { type Check, checksAbout } from './check.ts'

const ANSWER_TIMEOUT_MS = 3000

/** Where the API and DTM's protocol are to be served: who gets there, and whether the port is free or a relay's already. */
export async function checkListeners({ api, dtm, coordinator }: RelayConfig): Promise<readonly Check[]> {
  // Without it neither is served.
  if (coordinator.database === undefined) return []
  return [
    ...(api.enabled
      ? [checkApiExposure(api), await checkPort('api', api, '/v1/openapi.json', 'postcommit relay')]
      : []),
    ...(dtm.enabled ? [checkDtmExposure(dtm), await checkPort('dtm', dtm, '/api/dtmsvr/version', '"version"')] : []),
  ]
}

function checkApiExposure({ host, auth }: RelayConfig['api']): Check {
  const { ok } = checksAbout('api')
  const where = isLoopback(host) ? 'only this host gets there' : `every program that reaches ${host} gets there`
  return ok('exposure', `${where}, and ${auth === 'keys' ? 'every request needs a key' : 'needs no key'}`)
}

function checkDtmExposure({ host }: RelayConfig['dtm']): Check {
  const { ok, warn } = checksAbout('dtm')
  if (isLoopback(host)) return ok('exposure', 'only this host gets there')
  return warn(
    'exposure',
    `every program that reaches ${host} can submit and end transactions: DTM has no authentication`,
    'See that a network or a proxy keeps others out, or listen on 127.0.0.1.',
  )
}

/** @param mark - what only a relay answers at `path` */
async function checkPort(
  about: 'api' | 'dtm',
  { host, port }: { readonly host: string; readonly port: number },
  path: string,
  mark: string,
): Promise<Check> {
  const { ok, fail } = checksAbout(about)
  const address = `${host}:${port}`
  if (port === 0) return ok('port', 'a free one is taken')
  const answer = await ask(`http://${nearest(host)}:${port}${path}`)
  if (answer?.includes(mark) === true) return ok('port', `a relay answers at ${address}`)
  if (answer !== undefined) {
    return fail('port', `another program answers at ${address}`, `End it, or choose another ${about}.port.`)
  }
  const problem = await tryListen(host, port)
  if (problem === undefined) return ok('port', `${address} is free`)
  return fail('port', `no relay can listen on ${address}: ${problem}`, `Choose another ${about}.host or ${about}.port.`)
}

/** Of all addresses of this host the one that is always there. */
function nearest(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
}

/** What is answered; undefined: nobody listens there. */
async function ask(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS), redirect: 'manual' })
    return await response.text()
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    // Whoever speaks something else than HTTP, or nothing, is there all the same.
    return code === 'ECONNREFUSED' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' ? undefined : ''
  }
}

async function tryListen(host: string, port: number): Promise<string | undefined> {
  const server = createServer()
  try {
    server.listen({ host: host.replace(/^\[|\]$/g, ''), port })
    await once(server, 'listening')
    return undefined
  } catch (error) {
    return reasonOf(error)
  } finally {
    server.close()
  }
}
