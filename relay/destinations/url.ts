import { Agent } from 'undici'
import { type AddressRulesOptions, readAddressRules } from './address-rules.ts'
import { callOverHttp } from './call-over-http.ts'
import { CallsUnderWay } from './calls-under-way.ts'
import { type Destination, PERMANENT_ATTEMPTS_MAX } from './destination.ts'
import { guardedConnector } from './guarded-connector.ts'

/** Which addresses may be called, and how. */
export interface UrlDestinationOptions extends AddressRulesOptions {
  /** How long one call may take in all, milliseconds, default 10000. */
  readonly timeoutMs?: number
  /** Calls under way at once to one origin, default 32. */
  readonly concurrency?: number
}

const CONNECT_TIMEOUT_MS = 5000
const KEEP_MS = 10_000

/**
 * Calls absolute URLs that came with a transaction, as far as they are allowed: by DTM's clients, or where an initiator
 * knows its services better than the configuration of the relay does. Redirects are not followed, and calls are not
 * signed: there is no secret that would be shared with whoever listens there.
 *
 * @throws RangeError if a rule is none.
 */
export function createUrlDestination(options: UrlDestinationOptions): Destination {
  const { timeoutMs = 10_000, concurrency = 32 } = options
  const rules = readAddressRules(options)
  const pool = new Agent({
    connect: guardedConnector(rules, Math.min(timeoutMs / 2, CONNECT_TIMEOUT_MS)),
    keepAliveTimeout: KEEP_MS,
    pipelining: 1,
  })
  const underWay = new CallsUnderWay()
  return {
    name: 'url',
    timeoutMs,
    concurrency,
    attemptsMax: Number.POSITIVE_INFINITY,
    permanentAttemptsMax: PERMANENT_ATTEMPTS_MAX,
    backOff: { baseMs: 1000, capMs: 300_000 },
    async call(call, stopping) {
      const url = URL.canParse(call.target) ? new URL(call.target) : undefined
      const problem = url === undefined ? 'it is no URL' : rules.problemOf(url)
      if (url === undefined || problem !== undefined) {
        return { kind: 'impossible', error: `this address is not called: ${problem}` }
      }
      const path = () => url.pathname + url.search
      return await callOverHttp({ pool, origin: url.origin, keys: [], underWay, timeoutMs, path }, call, stopping)
    },
    close: () => pool.destroy(),
  }
}
