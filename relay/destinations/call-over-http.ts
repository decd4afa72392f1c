import { ENVELOPE, PostcommitError, SIGNATURE_HEADERS, type SigningKey, signCall } from 'postcommit/protocol'
import type { Dispatcher } from 'undici'
import type { CallAnswer } from '../engine/call-answer.ts'
import { readHttpFailure, readRetryAfter } from '../engine/http-outcome.ts'
import type { CallsUnderWay } from './calls-under-way.ts'
import { addBranchHeaders, callId, type DestinationCall } from './destination-call.ts'
import { type CallEnd, HttpCall } from './http-call.ts'
import { jsonRpcRequest } from './json-rpc-request.ts'

/** How a call goes over HTTP. */
export interface HttpRoute {
  readonly pool: Dispatcher
  /** Only for pools of several origins. */
  readonly origin?: string
  readonly keys: readonly SigningKey[]
  readonly underWay: CallsUnderWay
  /** Unless the call says otherwise. */
  readonly timeoutMs: number
  /** The path that is asked for; may throw. */
  readonly path: (target: string) => string
}

/**
 * Makes a call: one request, no redirects, the answer within the time limit to its last byte. In DTM's dialect the
 * branch is named in the query, and a call without content is a GET; in ours it is named in headers, under a signature.
 */
export async function callOverHttp(
  route: HttpRoute,
  call: DestinationCall,
  stopping: AbortSignal,
): Promise<CallAnswer> {
  const timeoutMs = call.timeoutMs ?? route.timeoutMs
  try {
    const request = requestOf(route, call)
    return answerOf(await exchange(route, request, { ...call, timeoutMs }, stopping), call, timeoutMs)
  } catch (error) {
    if (error instanceof PostcommitError || error instanceof RangeError) {
      return { kind: 'impossible', error: error.message }
    }
    return readHttpFailure(error)
  }
}

function exchange(
  { pool, origin, underWay }: HttpRoute,
  { method, path, headers, body }: Request,
  { timeoutMs, reads }: { readonly timeoutMs: number; readonly reads: DestinationCall['reads'] },
  stopping: AbortSignal,
): Promise<CallEnd> {
  const calls = underWay.until(stopping)
  return new Promise((resolve) => {
    const call = new HttpCall((end) => {
      clearTimeout(timer)
      calls.delete(call)
      resolve(end)
    }, reads === 'body')
    // The limits of the client are per chunk: only a timer over the whole call ends a body that drips.
    const timer = setTimeout(() => call.cut(), timeoutMs)
    calls.add(call)
    const options = { method, path, headers, body, headersTimeout: timeoutMs, bodyTimeout: timeoutMs }
    pool.dispatch(origin === undefined ? options : { ...options, origin }, call)
  })
}

function answerOf(end: CallEnd, { reads }: DestinationCall, timeoutMs: number): CallAnswer {
  switch (end.kind) {
    case 'cut': {
      const error = `no ${end.hadStatus ? 'complete ' : ''}answer within ${timeoutMs} ms`
      return { kind: 'unanswered', result: 'failed', error }
    }
    case 'failed':
      return readHttpFailure(end.error)
    case 'answered': {
      // Half a body may have lost the half that decides.
      if (reads === 'body' && !end.isWhole) {
        return { kind: 'unanswered', result: 'failed', error: 'the answer broke off' }
      }
      const retryAfterMs = readRetryAfter(single(end.headers['retry-after']), Date.now())
      const isDuplicate = single(end.headers['postcommit-outcome']) === 'duplicate'
      return { kind: 'answered', status: end.status, body: end.body, retryAfterMs, isDuplicate }
    }
  }
}

interface Request {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: string | Uint8Array | null
}

function requestOf({ path, keys }: HttpRoute, call: DestinationCall): Request {
  const { content } = call
  switch (call.dialect) {
    case 'v1':
      return {
        method: 'POST',
        path: path(call.target),
        headers: withOwnHeaders(call, keys),
        body: content ?? '',
      }
    case 'dtm': {
      const target = path(call.target)
      const { gid, mode, branch, op } = call
      const query = new URLSearchParams({ gid, trans_type: mode, branch_id: branch, op })
      return {
        method: content === undefined ? 'GET' : 'POST',
        path: `${target}${target.includes('?') ? '&' : '?'}${query}`,
        headers: { 'content-type': 'application/json', ...call.headers },
        body: content ?? null,
      }
    }
    case 'dtm-json-rpc': {
      const target = path(call.target)
      return {
        method: 'POST',
        path: target,
        headers: { 'content-type': 'application/json', ...call.headers },
        body: jsonRpcRequest(call, target),
      }
    }
  }
}

/** Ours win over those of the call. */
function withOwnHeaders(call: DestinationCall, keys: readonly SigningKey[]): Record<string, string> {
  const id = callId(call)
  const timestamp = Math.floor(Date.now() / 1000)
  const { content = '', key } = call
  // Filled in one by one: spread together from parts they take several times as long.
  const headers: Record<string, string> = { ...call.headers }
  headers[ENVELOPE.content] = typeof content === 'string' ? 'application/json' : 'application/octet-stream'
  headers[ENVELOPE.gid] = call.gid
  addBranchHeaders(headers, call)
  if (key !== undefined) headers[ENVELOPE.key] = encodeURIComponent(key)
  headers['postcommit-attempt'] = String(call.attempt)
  headers[SIGNATURE_HEADERS.id] = id
  headers[SIGNATURE_HEADERS.timestamp] = String(timestamp)
  if (keys.length > 0) headers[SIGNATURE_HEADERS.signature] = signCall(keys, id, timestamp, content)
  return headers
}

function single(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header
}
