import { encodeHeaders, type NatsConnectionLike, type NatsMessage } from './nats-connection.ts'

/**
 * Requests and their replies over an inbox of our own. The clients' own `request` throws other errors for the same
 * answer; this one hands over what the server said.
 */
export interface Requests {
  /** Rejects if no answer comes in time or nobody listens on the subject. */
  request(subject: string, payload: Uint8Array | string, options?: RequestOptions): Promise<NatsMessage>
  /** Rejects what is under way and takes no more. */
  close(): void
}

/** How one request is sent. */
export interface RequestOptions {
  readonly headers?: Iterable<readonly [string, string]>
  /** Default 5000. */
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 5000

/** @param inbox - a subject that is ours alone; replies come to one token below it */
export function openRequests(connection: NatsConnectionLike, inbox: string): Requests {
  const waiting = new Map<string, { resolve: (message: NatsMessage) => void; reject: (error: Error) => void }>()
  let counter = 0
  const subscription = connection.subscribe(`${inbox}.*`, {
    callback(error, message) {
      const pending = error === null ? waiting.get(message.subject) : undefined
      if (pending === undefined) return
      if (message.headers?.code === 503) pending.reject(new Error('no service listens on that subject (503)'))
      else pending.resolve(message)
    },
  })

  return {
    async request(subject, payload, { headers, timeoutMs = TIMEOUT_MS } = {}) {
      counter += 1
      const reply = `${inbox}.${counter}`
      let timer: NodeJS.Timeout | undefined
      try {
        return await new Promise<NatsMessage>((resolve, reject) => {
          timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
          waiting.set(reply, { resolve, reject })
          connection.publish(
            subject,
            payload,
            headers === undefined ? { reply } : { reply, headers: encodeHeaders(headers) },
          )
        })
      } finally {
        clearTimeout(timer)
        waiting.delete(reply)
      }
    },
    close() {
      for (const { reject } of waiting.values()) reject(new Error('the subscription was stopped'))
      if (!connection.isClosed()) subscription.unsubscribe()
    },
  }
}
