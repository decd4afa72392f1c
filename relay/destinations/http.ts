import {
  ENVELOPE,
  isDestinationName,
  messageId,
  PostcommitError,
  parseSigningSecret,
  SIGNATURE_HEADERS,
  type SigningKey,
  signCall,
} from 'postcommit/protocol'
import { type Dispatcher, Pool } from 'undici'
import { readHttpAnswer } from '../engine/http-outcome.ts'
import type { BackOff, Outcome } from '../engine/outcome.ts'
import type { Delivery, Destination } from './destination.ts'

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
  readonly backOff?: BackOff
}

const RESPONSE_BYTES_MAX = 64 * 1024

// Nothing was learned about the message: the call never reached a handler.
const UNREACHED = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

/**
 * A destination that is called by POST until it answers 2xx. One keep-alive pool an origin; no redirects; the whole
 * call, slow body included, within `timeoutMs`; at most 64 KiB of the answer are read and none of it is kept.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`, `POSTCOMMIT_INVALID_SECRET`.
 */
export function createHttpDestination(name: string, options: HttpDestinationOptions): Destination {
  const { timeoutMs = 10_000, concurrency = 32, permanentAttemptsMax = 8 } = options
  const base = parseBase(name, options.url)
  const keys = (options.secrets ?? []).map(parseSigningSecret)
  const pool = new Pool(base.origin, {
    connections: concurrency,
    pipelining: 1,
    connectTimeout: Math.min(timeoutMs, 5000),
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  })

  async function call(delivery: Delivery, signal: AbortSignal): Promise<Outcome> {
    const answer = await pool.request({
      method: 'POST',
      path: base.pathname + delivery.target,
      headers: headersOf(delivery, keys),
      body: delivery.content,
      signal,
    })
    await answer.body.dump({ limit: RESPONSE_BYTES_MAX, signal })
    return readHttpAnswer({
      status: answer.statusCode,
      retryAfter: headerOf(answer, 'retry-after'),
      outcome: headerOf(answer, 'postcommit-outcome'),
      attempts: delivery.attempt - 1,
      permanentAttemptsMax,
      nowMs: Date.now(),
    })
  }

  return {
    name,
    concurrency,
    attemptsMax: options.attemptsMax ?? Number.POSITIVE_INFINITY,
    backOff: options.backOff ?? { baseMs: 1000, capMs: 300_000 },
    async deliver(delivery, stopping) {
      const timeout = new AbortController()
      // bodyTimeout is per chunk: only a timer over the whole call ends a body that drips.
      const timer = setTimeout(() => timeout.abort(), timeoutMs)
      const stop = (): void => timeout.abort()
      stopping.addEventListener('abort', stop, { once: true })
      try {
        return await call(delivery, timeout.signal)
      } catch (error) {
        if (timeout.signal.aborted) return { kind: 'failed', error: `no answer within ${timeoutMs} ms` }
        return failureOf(error)
      } finally {
        clearTimeout(timer)
        stopping.removeEventListener('abort', stop)
      }
    },
    close: () => pool.destroy(),
  }
}

function headersOf(delivery: Delivery, keys: readonly SigningKey[]): Record<string, string> {
  const id = messageId(delivery.gid, delivery.branch)
  const timestamp = Math.floor(Date.now() / 1000)
  return {
    ...delivery.headers,
    [ENVELOPE.content]: typeof delivery.content === 'string' ? 'application/json' : 'application/octet-stream',
    [ENVELOPE.gid]: delivery.gid,
    [ENVELOPE.branch]: String(delivery.branch),
    ...(delivery.key !== undefined && { [ENVELOPE.key]: encodeURIComponent(delivery.key) }),
    'postcommit-attempt': String(delivery.attempt),
    [SIGNATURE_HEADERS.id]: id,
    [SIGNATURE_HEADERS.timestamp]: String(timestamp),
    ...(keys.length > 0 && { [SIGNATURE_HEADERS.signature]: signCall(keys, id, timestamp, delivery.content) }),
  }
}

function headerOf({ headers }: Dispatcher.ResponseData, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value[0] : value
}

function failureOf(error: unknown): Outcome {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : undefined
  const text = `the call failed: ${code ?? (error instanceof Error ? error.message : String(error))}`
  return UNREACHED.has(code ?? '') ? { kind: 'unavailable', error: text } : { kind: 'failed', error: text }
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
