import type { Answer } from './answer.ts'
import type { Call } from './receive-call.ts'

/** A handler in the style of the Fetch API: hono, `Bun.serve`, `Deno.serve` and others take it as it is. */
export type FetchListener = (request: Request) => Promise<Response>

/** Serves Fetch API requests. */
export function fetchListener(receive: (call: Call) => Promise<Answer>): FetchListener {
  return async (request) => {
    const { status, headers, body } = await receive({
      method: request.method,
      headers: Object.fromEntries(request.headers),
      readBody: (bytesMax) => readBody(request, bytesMax),
    })
    return new Response(body ?? null, { status, headers })
  }
}

async function readBody(request: Request, bytesMax: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  if (request.body === null) return new Uint8Array()
  const reader = request.body.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return Buffer.concat(chunks)
    bytes += value.byteLength
    if (bytes > bytesMax) {
      await reader.cancel()
      return undefined
    }
    chunks.push(value)
  }
}
