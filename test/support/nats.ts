import { randomUUID } from 'node:crypto'
import { type JetStreamManager, jetstreamManager, type StreamConfig } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { inject } from 'vitest'

/** A JetStream stream that no other test uses. */
export interface TestStream {
  readonly name: string
  /** Subjects of the stream begin with it: `${prefix}.order.placed`. */
  readonly prefix: string
  /** What the stream takes: `${prefix}.>`. */
  readonly subjects: readonly string[]
  readonly manager: JetStreamManager
}

/** A connection to a nats-server and streams of one's own on it. */
export interface TestNats {
  readonly url: string
  readonly connection: NatsConnection
  /** Another connection, closed together with this one. */
  connect(): Promise<NatsConnection>
  /** Makes a stream with file storage whose name and subjects begin with `prefix` and are used by nobody else. */
  freshStream(prefix?: string, config?: Partial<StreamConfig>): Promise<TestStream>
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Connects to the nats-server of the test run, or to the one given (or several, with commas). Reconnects for ever. */
export async function nats(url: string = inject('natsUrl')): Promise<TestNats> {
  const connections: NatsConnection[] = []
  const open = async () => {
    const connection = await connect({ servers: url.split(','), maxReconnectAttempts: -1, reconnectTimeWait: 50 })
    connections.push(connection)
    return connection
  }
  const connection = await open()
  const close = async () => {
    await Promise.all(connections.map((each) => each.close()))
  }
  return {
    url,
    connection,
    connect: open,
    close,
    [Symbol.asyncDispose]: close,
    freshStream: async (prefix = 'test', config = {}) => {
      const unique = `${prefix}-${randomUUID().slice(0, 8)}`
      const subjects = [`${unique}.>`]
      const manager = await jetstreamManager(connection)
      await manager.streams.add({ name: unique, subjects, ...config })
      return { name: unique, prefix: unique, subjects, manager }
    },
  }
}
