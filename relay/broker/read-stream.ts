import { DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { NATS_MESSAGE_ID } from 'postcommit/protocol'

/** A message of a stream, without what is in it. */
export interface StoredMessage {
  readonly messageId: string | undefined
  readonly sequence: number
  /** Unix milliseconds by the clock of the broker. */
  readonly storedMs: number
}

const BATCH = 1000
const IDLE_MS = 5000

/**
 * Reads the headers of a stream from a time on, up to what is its newest message at the beginning, in batches: however
 * large it is, one batch is in memory. Over an ordered consumer, which leaves nothing behind.
 *
 * @throws if the stream is not there, or may not be read
 */
export async function* readStream(
  nc: NatsConnection,
  stream: string,
  fromMs: number,
): AsyncGenerator<readonly StoredMessage[]> {
  const manager = await jetstreamManager(nc, { checkAPI: false })
  const last = (await manager.streams.info(stream)).state.last_seq
  const consumer = await jetstream(nc, { checkAPI: false }).consumers.get(stream, {
    deliver_policy: DeliverPolicy.StartTime,
    opt_start_time: new Date(fromMs).toISOString(),
    headers_only: true,
  })
  for (let at = 0; at < last; ) {
    const batch: StoredMessage[] = []
    let pending = 0
    for await (const message of await consumer.fetch({ max_messages: BATCH, expires: IDLE_MS })) {
      const { streamSequence, timestampNanos } = message.info
      pending = message.info.pending
      at = streamSequence
      if (streamSequence > last) break
      const messageId = message.headers?.get(NATS_MESSAGE_ID)
      batch.push({ messageId, sequence: streamSequence, storedMs: timestampNanos / 1e6 })
      if (pending === 0 || streamSequence === last) break
    }
    if (batch.length > 0) yield batch
    // Nothing more came: what is newer than the beginning of this, or younger than the time, is none.
    if (pending === 0) return
  }
}
