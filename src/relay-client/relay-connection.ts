import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'

/** An answer of the relay's HTTP interface. */
export interface Exchange {
  readonly status: number
  readonly text: string
  /** From `retry-after`, where it was given in seconds. */
  readonly retryAfterMs: number | undefined
}

/** A kept-alive way to the relay. */
export interface RelayConnection {
  /** Posts JSON. Rejects if no whole answer came within `timeoutMs`; it may have arrived nevertheless. */
  post(path: string, body: string, timeoutMs: number): Promise<Exchange>
  close(): void
}

/** How the relay is reached. */
export interface ConnectionOptions {
  readonly url: URL
  readonly apiKey: string | undefined
  readonly agent: HttpAgent | undefined
}

const ANSWER_BYTES_MAX = 16 * 1024 * 1024

/** Opens connections as they are needed and keeps them. `fetch` makes a third of the requests in the same time. */
export function connectRelay({ url, apiKey, agent: given }: ConnectionOptions): RelayConnection {
  const secure = url.protocol === 'https:'
  const agent = given ?? new (secure ? HttpsAgent : HttpAgent)({ keepAlive: true })
  const send = secure ? requestHttps : requestHttp
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json',
    ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
  }
  return {
    post(path, body, timeoutMs) {
      return new Promise((resolve, reject) => {
        const request = send(new URL(`.${path}`, url), {
          method: 'POST',
          agent,
          headers: { ...headers, 'content-length': Buffer.byteLength(body) },
        })
        // Over everything: the connection, the answer and its end. A socket's own time-out starts anew at every byte.
        const timer = setTimeout(() => {
          request.destroy(new Error(`no answer within ${timeoutMs} ms`))
        }, timeoutMs)
        request.once('close', () => clearTimeout(timer))
        request.once('error', reject)
        request.once('response', (response) => {
          readAnswer(response).then(resolve, reject)
        })
        request.end(body)
      })
    },
    close() {
      if (given === undefined) agent.destroy()
    },
  }
}

async function readAnswer(response: IncomingMessage): Promise<Exchange> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    // Leaving the loop destroys the connection.
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`its answer has more than ${ANSWER_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  const retryAfter = response.headers['retry-after']
  const retryAfterMs = retryAfter !== undefined && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) * 1000 : undefined
  return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8'), retryAfterMs }
}
