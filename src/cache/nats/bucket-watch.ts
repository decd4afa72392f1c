import { randomBytes } from 'node:crypto'
import type { NatsConnectionLike, NatsMessage, NatsSubscriptionLike } from '../../nats/nats-connection.ts'
import { header } from '../../nats/read-delivery.ts'
import type { Requests } from '../../nats/requests.ts'

/** What {@link BucketWatch} needs. */
export interface BucketWatchOptions {
  readonly connection: NatsConnectionLike
  readonly requests: Requests
  readonly stream: string
  readonly subject: string
  /** A subject that is ours alone. */
  readonly inbox: string
  /** How long nothing may be heard, milliseconds. */
  readonly lagMs: number
  readonly onChange: (subject: string, revision: number) => void
  /** Changes may have been missed. */
  readonly onGap: () => void
}

const AGAIN_MS = 200

/**
 * Tells of every new revision in a bucket: an ordered push consumer whose heartbeats come all the way from the leader
 * of the stream. A gap in its numbers, or silence for longer than `lagMs`, is a gap; then another consumer is made.
 */
export class BucketWatch {
  readonly #options: BucketWatchOptions
  #subscription: NatsSubscriptionLike | undefined
  #heardAt = Number.NEGATIVE_INFINITY
  #received = 0
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(options: BucketWatchOptions) {
    this.#options = options
    void this.#restart()
  }

  /** Whether nothing can have been missed for longer than `lagMs`. */
  get isLive(): boolean {
    return performance.now() - this.#heardAt < this.#options.lagMs
  }

  /** The connection was lost. */
  lost(): void {
    this.#heardAt = Number.NEGATIVE_INFINITY
    this.#options.onGap()
    this.#again(AGAIN_MS)
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#unsubscribe()
  }

  async #restart(): Promise<void> {
    const { connection, requests, stream, subject, inbox, lagMs } = this.#options
    this.#unsubscribe()
    this.#heardAt = Number.NEGATIVE_INFINITY
    this.#received = 0
    this.#options.onGap()
    try {
      const deliverTo = `${inbox}.${randomBytes(6).toString('hex')}`
      this.#subscription = connection.subscribe(deliverTo, {
        callback: (error, message) => {
          if (error === null && message.subject !== '') this.#receive(message)
        },
      })
      const config = {
        deliver_subject: deliverTo,
        deliver_policy: 'new',
        ack_policy: 'none',
        replay_policy: 'instant',
        filter_subject: subject,
        headers_only: true,
        flow_control: true,
        idle_heartbeat: Math.max(100, Math.floor(lagMs / 4)) * 1e6,
        max_deliver: 1,
        mem_storage: true,
        num_replicas: 1,
      }
      const body = JSON.stringify({ stream_name: stream, config })
      const { data } = await requests.request(`$JS.API.CONSUMER.CREATE.${stream}`, body)
      const answer = JSON.parse(new TextDecoder().decode(data)) as {
        readonly error?: { readonly description?: string }
      }
      if (answer.error !== undefined) throw new Error(answer.error.description)
      this.#heardAt = performance.now()
      this.#again(lagMs)
    } catch {
      this.#again(AGAIN_MS)
    }
  }

  #receive(message: NatsMessage): void {
    const { headers, reply, subject } = message
    if (headers?.code === 100) {
      const stalled = header(headers, 'Nats-Consumer-Stalled')
      // Both wait for any answer before they send more.
      if (stalled !== undefined) this.#options.connection.publish(stalled)
      else if (reply !== undefined && reply !== '') this.#options.connection.publish(reply)
      const last = header(headers, 'Nats-Last-Consumer')
      if (last !== undefined && Number(last) !== this.#received) this.#again(0)
      else this.#heardAt = performance.now()
      return
    }
    const place = placeOf(reply ?? '')
    if (place === undefined) return
    this.#received += 1
    if (place.consumer !== this.#received) {
      this.#again(0)
      return
    }
    this.#heardAt = performance.now()
    this.#options.onChange(subject, place.stream)
  }

  /** Looks whether it is still live, or makes another consumer at once. */
  #again(ms: number): void {
    clearTimeout(this.#timer)
    if (this.#isStopped) return
    if (ms === 0) this.#heardAt = Number.NEGATIVE_INFINITY
    const check = () => {
      if (this.isLive) this.#again(this.#options.lagMs)
      else void this.#restart()
    }
    this.#timer = setTimeout(check, ms).unref()
  }

  #unsubscribe(): void {
    if (!this.#options.connection.isClosed()) this.#subscription?.unsubscribe()
    this.#subscription = undefined
  }
}

/** The places of a message in the stream and in the consumer, from its reply subject. */
function placeOf(reply: string): { readonly stream: number; readonly consumer: number } | undefined {
  const tokens = reply.split('.')
  if (tokens[0] !== '$JS' || tokens[1] !== 'ACK') return undefined
  // $JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>…, or two tokens more before the stream.
  const at = tokens.length === 9 ? 5 : tokens.length >= 11 ? 7 : undefined
  if (at === undefined) return undefined
  return { stream: Number(tokens[at]), consumer: Number(tokens[at + 1]) }
}
