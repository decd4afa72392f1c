import { EventEmitter } from 'node:events'
import { ENVELOPE, OP_HEADER, PostcommitError, SIGNATURE_HEADERS, type SigningKey, signCall } from 'postcommit/protocol'
import type { Dispatcher } from 'undici'
import { readHttpFailure, readRetryAfter } from '../engine/http-outcome.ts'
import { ANSWER_BYTES_MAX, type BranchAnswer, type BranchCall, callId } from './branch-call.ts'

/** How a branch is reached over HTTP. */
export interface HttpRoute {
  readonly pool: Dispatcher
  /** Only for pools of several origins. */
  readonly origin?: string
  readonly keys: readonly SigningKey[]
  /** Unless the call says otherwise. */
  readonly timeoutMs: number
  /** The path that is asked for; may throw. */
  readonly path: () => string
}

/**
 * Calls a branch: one request, no redirects, the answer within the time limit to its last byte. In DTM's dialect the
 * branch is named in the query, and a call without content is a GET; in ours it is named in headers, under a signature.
 */
export async function callOverHttp(route: HttpRoute, call: BranchCall, stopping: AbortSignal): Promise<BranchAnswer> {
  const timeoutMs = call.timeoutMs ?? route.timeoutMs
  // An emitter where an AbortController would do: making one takes a twentieth of the whole call.
  const cut = new EventEmitter()
  let late = false
  const end = (): void => {
    late = true
    cut.emit('abort')
  }
  // The limits of the client are per chunk: only a timer over the whole call ends a body that drips.
  const timer = setTimeout(end, timeoutMs)
  stopping.addEventListener('abort', end)
  try {
    const answer = await route.pool.request({
      ...(route.origin !== undefined && { origin: route.origin }),
      ...requestOf(route, call),
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      signal: cut,
    })
    const body = await readBody(answer)
    const retryAfterMs = readRetryAfter(headerOf(answer, 'retry-after'), Date.now())
    return { kind: 'answered', status: answer.statusCode, body, retryAfterMs }
  } catch (error) {
    if (late) return { kind: 'unanswered', result: 'failed', error: `no answer within ${timeoutMs} ms` }
    if (error instanceof PostcommitError) return { kind: 'impossible', error: error.message }
    const outcome = readHttpFailure(error)
    const result = outcome.kind === 'unavailable' ? 'away' : 'failed'
    return { kind: 'unanswered', result, error: 'error' in outcome ? outcome.error : 'no answer' }
  } finally {
    clearTimeout(timer)
    stopping.removeEventListener('abort', end)
  }
}

function requestOf({ path, keys }: HttpRoute, call: BranchCall) {
  const { content } = call
  switch (call.dialect) {
    case 'v1':
      return {
        method: 'POST' as const,
        path: path(),
        headers: { ...call.headers, ...ownHeaders(call, keys) },
        body: content ?? '',
      }
    case 'dtm': {
      const target = path()
      const { gid, mode, branch, op } = call
      const query = new URLSearchParams({ gid, trans_type: mode, branch_id: branch, op })
      return {
        method: content === undefined ? ('GET' as const) : ('POST' as const),
        path: `${target}${target.includes('?') ? '&' : '?'}${query}`,
        headers: { 'content-type': 'application/json', ...call.headers },
        ...(content !== undefined && { body: content }),
      }
    }
  }
}

function ownHeaders(call: BranchCall, keys: readonly SigningKey[]): Record<string, string> {
  const id = callId(call)
  const timestamp = Math.floor(Date.now() / 1000)
  const { content = '' } = call
  return {
    [ENVELOPE.content]: typeof content === 'string' ? 'application/json' : 'application/octet-stream',
    [ENVELOPE.gid]: call.gid,
    [ENVELOPE.branch]: call.branch,
    [OP_HEADER]: call.op,
    ...(call.key !== undefined && { [ENVELOPE.key]: encodeURIComponent(call.key) }),
    'postcommit-attempt': String(call.attempt),
    [SIGNATURE_HEADERS.id]: id,
    [SIGNATURE_HEADERS.timestamp]: String(timestamp),
    ...(keys.length > 0 && { [SIGNATURE_HEADERS.signature]: signCall(keys, id, timestamp, content) }),
  }
}

/** Reads no more than is kept: a longer body is cut off with its connection. */
async function readBody({ statusCode, headers, body }: Dispatcher.ResponseData): Promise<Buffer | undefined> {
  if (statusCode === 204 || headers['content-length'] === '0') {
    await body.dump()
    return Buffer.alloc(0)
  }
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    // Leaving the loop destroys the body, and with it the connection.
    if (bytes > ANSWER_BYTES_MAX) return undefined
    chunks.push(chunk)
  }
  const [first] = chunks
  return chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks)
}

function headerOf({ headers }: Dispatcher.ResponseData, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value[0] : value
}
