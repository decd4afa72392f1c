import { jetstreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { NATS_MESSAGE_ID } from 'postcommit/protocol'

/** A message as it stands in a stream. */
export interface StoredMessage {
  readonly id: string
  readonly payload: unknown
}

/** Everything that a stream holds, in its order; what stands there twice is there twice. */
export async function streamContents(connection: NatsConnection, stream: string): Promise<readonly StoredMessage[]> {
  const manager = await jetstreamManager(connection)
  const { state } = await manager.streams.info(stream)
  const found: StoredMessage[] = []
  for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
    const message = await manager.streams.getMessage(stream, { seq })
    if (message !== null) found.push({ id: message.header.get(NATS_MESSAGE_ID), payload: message.json() })
  }
  return found
}
