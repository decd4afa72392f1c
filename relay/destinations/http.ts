import { isDestinationName, PostcommitError, parsePath, parseSigningSecret } from 'postcommit/protocol'
import { Pool } from 'undici'
import type { BackOff } from '../engine/outcome.ts'
import { callOverHttp } from './call-over-http.ts'
import { CallsUnderWay } from './calls-under-way.ts'
import { type Destination, PERMANENT_ATTEMPTS_MAX } from './destination.ts'

/** An HTTP service that is called. */
export interface HttpDestinationOptions {
  /** Origin and base path; the path of a call is put behind it. */
  readonly url: string
  /** `whsec_…` secrets the calls are signed with; two while one is being replaced. Unsigned without. */
  readonly secrets?: readonly string[]
  /** How long one call may take in all, milliseconds, default 10000. */
  readonly timeoutMs?: number
  /** Calls under way at once, default 32. */
  readonly concurrency?: number
  /** After how many failed attempts a message is dead; default: never. */
  readonly attemptsMax?: number
  /** After how many answers of 4xx a message is dead, default 8. */
  readonly permanentAttemptsMax?: number
  /** Pauses between failed attempts: they grow from `baseMs` up to `capMs`; default 1 second and 5 minutes. */
  readonly backOff?: BackOff
}

const CONNECT_TIMEOUT_MS = 5000

/**
 * A destination that is called by POST until it answers 2xx. One keep-alive pool an origin; no redirects; the whole
 * call, slow body included, within `timeoutMs`; at most 64 KiB of the answer are read and none of it is kept.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`, `POSTCOMMIT_INVALID_SECRET`.
 */
export function createHttpDestination(name: string, options: HttpDestinationOptions): Destination {
  const { timeoutMs = 10_000, concurrency = 32, permanentAttemptsMax = PERMANENT_ATTEMPTS_MAX } = options
  const base = parseBase(name, options.url)
  const keys = (options.secrets ?? []).map(parseSigningSecret)
  const pool = new Pool(base.origin, {
    // As many as calls: those of a second source must not wait for a connection while their time runs.
    connections: null,
    pipelining: 1,
    connectTimeout: Math.min(timeoutMs / 2, CONNECT_TIMEOUT_MS),
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  })

  const underWay = new CallsUnderWay()
  const path = (target: string) => base.pathname + parsePath(target)
  const route = { pool, keys, underWay, timeoutMs, path }

  return {
    name,
    timeoutMs,
    concurrency,
    attemptsMax: options.attemptsMax ?? Number.POSITIVE_INFINITY,
    permanentAttemptsMax,
    backOff: options.backOff ?? { baseMs: 1000, capMs: 300_000 },
    call: (call, stopping) => callOverHttp(route, call, stopping),
    close: () => pool.destroy(),
  }
}

function parseBase(name: string, text: string): { readonly origin: string; readonly pathname: string } {
  const refuse = (reason: string): never => {
    throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', {
      function: 'createRelay',
      reason: `destination ${name}: ${reason}`,
    })
  }
  if (!isDestinationName(name)) refuse('the name has other characters than a-z 0-9 -, or is "nats"')
  if (!URL.canParse(text)) refuse('url is not a URL')
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') refuse('url is neither http nor https')
  if (url.username !== '' || url.password !== '') refuse('url has a user name or password; use secrets')
  if (url.search !== '' || url.hash !== '') refuse('url has a query or a fragment')
  return { origin: url.origin, pathname: url.pathname.replace(/\/$/, '') }
}
