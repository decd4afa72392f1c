/** A service that takes effect of the messages of a stream, in one of several ways. */
import { setTimeout as sleep } from 'node:timers/promises'
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import pg from 'pg'
import { createInbox } from 'postcommit'
import { type InboxSubscribeOptions, type SubscribedDelivery, type SubscribeOptions, subscribe } from 'postcommit/nats'
import { serve } from '../serve.ts'

/** How many messages are handled at once, with as many connections to the database. */
export interface ConsumerConfig {
  readonly nats: string
  readonly database: string
  readonly concurrency: number
}

/**
 * `inbox`: `subscribe()` with an inbox. `transaction`: `subscribe()`, and the handler opens its transaction itself.
 * `nothing`: `subscribe()` with a handler that does nothing. `library`: `consume()` of `@nats-io/jetstream`.
 */
export type Way = 'inbox' | 'transaction' | 'nothing' | 'library'

export type ConsumerCommands = {
  /** Handles so many messages with a new durable; resolves to the milliseconds until the last was handled. */
  handle(way: Way, stream: string, durable: string, messages: number): Promise<number>
}

type From = Pick<SubscribeOptions<unknown>, 'connection' | 'stream' | 'durable' | 'concurrency'>

const POLL_MS = 2

serve<ConsumerConfig, ConsumerCommands>(async ({ nats, database, concurrency }) => {
  const connection = await connect({ servers: nats })
  const pool = new pg.Pool({ connectionString: database, max: concurrency })
  const inbox = createInbox({ db: pool, consumer: 'bench' })
  await Promise.all(Array.from({ length: concurrency }, () => pool.query('select pg_sleep(0.1)')))

  const ways: Record<
    Exclude<Way, 'library'>,
    (from: From) => InboxSubscribeOptions<unknown, pg.PoolClient> | SubscribeOptions<unknown>
  > = {
    inbox: (from) => ({ ...from, inbox, handle: (delivery, tx) => takeEffect(tx, delivery) }),
    transaction: (from) => ({ ...from, handle: (delivery) => inTransaction(pool, (tx) => takeEffect(tx, delivery)) }),
    nothing: (from) => ({ ...from, handle: () => undefined }),
  }
  return {
    commands: {
      async handle(way, stream, durable, messages) {
        const startedAt = performance.now()
        if (way === 'library') await consume(connection, stream, durable, messages)
        else await handleOurs(ways[way]({ connection, stream, durable, concurrency }), messages)
        return performance.now() - startedAt
      },
    },
    close: async () => {
      await connection.close()
      await pool.end()
    },
  }
})

async function handleOurs(
  options: InboxSubscribeOptions<unknown, pg.PoolClient> | SubscribeOptions<unknown>,
  messages: number,
): Promise<void> {
  const subscription = await (options.inbox === undefined ? subscribe(options) : subscribe(options))
  while (subscription.stats.handled < messages) {
    if (subscription.stats.failed > 0) throw new Error(`${subscription.stats.failed} attempts failed`)
    await sleep(POLL_MS)
  }
  await subscription.stop()
}

async function consume(connection: NatsConnection, stream: string, durable: string, messages: number): Promise<void> {
  const manager = await jetstreamManager(connection)
  await manager.consumers.add(stream, { durable_name: durable, ack_policy: AckPolicy.Explicit })
  const consumer = await jetstream(connection).consumers.get(stream, durable)
  let handled = 0
  for await (const message of await consumer.consume()) {
    message.ack()
    handled += 1
    if (handled === messages) break
  }
}

async function takeEffect(tx: pg.PoolClient, { gid, branch, content }: SubscribedDelivery): Promise<void> {
  await tx.query('insert into effect (gid, branch, content) values ($1, $2, $3)', [gid, branch, content])
}

async function inTransaction(pool: pg.Pool, work: (tx: pg.PoolClient) => Promise<void>): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    await work(client)
    await client.query('commit')
  } finally {
    client.release()
  }
}
