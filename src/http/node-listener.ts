import type { IncomingMessage, ServerResponse } from 'node:http'
import { PostcommitError } from '../protocol/errors.ts'
import type { MessageHeaders } from '../protocol/headers.ts'
import type { Answer } from './answer.ts'
import type { Call } from './receive-call.ts'

/** A listener for `node:http`, which is also what express and, by `request.raw` and `reply.raw`, fastify take. */
export type NodeListener = (request: IncomingMessage, response: ServerResponse) => void

/** Serves node:http requests. */
export function nodeListener(receive: (call: Call) => Promise<Answer>): NodeListener {
  return (request, response) => {
    const call: Call = {
      method: request.method ?? '',
      headers: headersOf(request),
      readBody: (bytesMax) => readBody(request, bytesMax),
    }
    void receive(call).then((answer) => {
      // The caller may be gone by now; then there is nobody to answer, and it will call again.
      if (!response.destroyed) response.writeHead(answer.status, answer.headers).end(answer.body)
    })
  }
}

function headersOf(request: IncomingMessage): MessageHeaders {
  return Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : (value ?? ''),
    ]),
  )
}

async function readBody(request: IncomingMessage, bytesMax: number): Promise<Uint8Array | undefined> {
  const parsed = 'body' in request ? request.body : undefined
  if (parsed instanceof Uint8Array) return parsed.byteLength > bytesMax ? undefined : parsed
  if (parsed !== undefined || request.readableEnded) {
    throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', {
      function: 'handler',
      reason: 'a body parser has consumed the request before it; mount it first, or give it the raw bytes as body',
    })
  }
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) return undefined
  const chunks: Uint8Array[] = []
  let bytes = 0
  // Not `for await`: leaving that loop destroys the request, and the answer 413 with it.
  return await new Promise((resolve, reject) => {
    request.on('data', (chunk: Uint8Array) => {
      bytes += chunk.byteLength
      if (bytes > bytesMax) {
        request.pause()
        resolve(undefined)
      } else chunks.push(chunk)
    })
    request.once('end', () => resolve(Buffer.concat(chunks)))
    request.once('error', reject)
    const left = () => new PostcommitError('POSTCOMMIT_INVALID_DELIVERY', { reason: 'the request has no end' })
    request.once('close', () => reject(left()))
  })
}
