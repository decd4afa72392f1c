import type { NatsConnection } from '@nats-io/transport-node'
import { askJetStream, NO_SUCH_STREAM } from './ask-jetstream.ts'
import { Holding, hasMessage } from './has-message.ts'

/** A message as a stream has acknowledged it. */
interface Acknowledged {
  readonly stream: string
  readonly sequence: number
  readonly messageId: string
}

/**
 * The ends of streams as they are during one comparison; each is asked for once, however many shards are compared.
 *
 * When a stream was made and which message is its newest tell its end from every other that it has had. As long as they
 * are the same, it has neither lost nor got anything: what it held, it holds, or has let go by its own rules.
 */
export class StreamTails {
  readonly nc: NatsConnection
  readonly #tails = new Map<string, Promise<string | undefined>>()

  constructor(nc: NatsConnection) {
    this.nc = nc
  }

  /**
   * Undefined: there is no such stream.
   * @throws if JetStream does not answer, or this user may not ask.
   */
  of(stream: string): Promise<string | undefined> {
    const tail = this.#tails.get(stream) ?? this.#ask(stream)
    this.#tails.set(stream, tail)
    return tail
  }

  async #ask(stream: string): Promise<string | undefined> {
    const { created, state, error } = await askJetStream(this.nc, `STREAM.INFO.${stream}`, {})
    if (error?.err_code === NO_SUCH_STREAM) return undefined
    if (state?.last_seq === undefined) throw new Error(error?.description ?? 'no state in the answer')
    return [created, state.last_seq, state.last_ts].join(' ')
  }
}

/**
 * What one shard has found in its streams, so that a stream to which nothing has happened since is not asked for the
 * message again. Sixty-four shards that have nothing to do cost one request a stream.
 *
 * Each shard looks for its own newest message: that the stream has a newer one of another shard does not say that it
 * has not been set back and filled up in between.
 */
export class FoundAtTails {
  readonly #found = new Map<string, string>()

  /**
   * Whether a stream still has what it acknowledged. Of one that is missing nothing can be said: it is there.
   * @throws if JetStream does not answer, or this user may not ask.
   */
  async isThere(tails: StreamTails, ack: Acknowledged): Promise<boolean> {
    // Before the message: whatever happens in between changes the tail.
    const tail = await tails.of(ack.stream)
    if (tail === undefined) return true
    const found = `${tail} ${ack.messageId}`
    if (this.#found.get(ack.stream) === found) return true
    const holding = await hasMessage(tails.nc, ack)
    if (holding === Holding.There) this.#found.set(ack.stream, found)
    return holding !== Holding.Lost
  }
}
