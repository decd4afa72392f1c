/** A service that places orders as fast as its connections allow, with an outbox of one sort or with none. */
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { createOutbox } from 'postcommit'
import {
  ACCOUNTS,
  type BusinessTables,
  placeOrder,
  placeOrderWithKysely,
  transactPlainly,
  transactPlainlyWithKysely,
} from '../business.ts'
import { type OutboxPeer, outboxPeers } from '../outbox-peers.ts'
import { serve } from '../serve.ts'

/** Which of them, and where. */
export interface ProducerConfig {
  readonly database: string
  readonly contender: 'pg' | 'outbox over pg' | 'kysely' | 'outbox over kysely' | OutboxPeer
  readonly wake?: 'notify' | 'off'
  readonly topic?: string
}

/** Whether messages have a key: none, one each of their own, or the same one all of them. */
export type Keys = 'unkeyed' | 'distinct' | 'hot'

export interface ProducerCommands {
  /** Places orders for `ms` over so many connections; resolves to transactions per second. */
  run(connections: number, ms: number, keys: Keys): Promise<number>
  [name: string]: (...args: never[]) => unknown
}

type Transact = (account: number, key: string | undefined) => Promise<unknown>

const PAYLOAD = { order: 'x'.repeat(200 - '{"order":""}'.length) }

serve(async (config: ProducerConfig) => {
  let opened: { readonly connections: number; readonly pool: pg.Pool; readonly transact: Transact } | undefined
  const setUp = new pg.Pool({ connectionString: config.database, max: 1 })
  const open = await opener(config, setUp)
  await setUp.end()
  let account = 0
  let drawn = 0
  const keyOf = (keys: Keys) => {
    if (keys === 'unkeyed') return undefined
    drawn += 1
    return keys === 'hot' ? 'hot' : `order-${drawn}`
  }
  const commands: ProducerCommands = {
    async run(connections, ms, keys) {
      const { transact } = await openPool(connections)
      const startedAt = performance.now()
      let done = 0
      await Promise.all(
        Array.from({ length: connections }, async () => {
          while (performance.now() - startedAt < ms) {
            account = (account + 1) % ACCOUNTS
            await transact(account, keyOf(keys))
            done += 1
          }
        }),
      )
      return (done / (performance.now() - startedAt)) * 1000
    },
  }
  // One pool at a time: all contenders together must not have more connections than the server takes.
  async function openPool(connections: number) {
    if (opened?.connections === connections) return opened
    await opened?.pool.end()
    const pool = new pg.Pool({ connectionString: config.database, max: connections, idleTimeoutMillis: 0 })
    opened = { connections, pool, transact: open(pool) }
    return opened
  }
  return { commands, close: async () => await opened?.pool.end() }
})

async function opener(
  { contender, database, wake = 'notify', topic = 'order.placed' }: ProducerConfig,
  setUp: pg.Pool,
): Promise<(pool: pg.Pool) => Transact> {
  const kyselyOf = (pool: pg.Pool) => new Kysely<BusinessTables>({ dialect: new PostgresDialect({ pool }) })
  switch (contender) {
    case 'pg':
      return (pool) => (account) => transactPlainly(pool, (client) => placeOrder(client, account))
    case 'kysely':
      return (pool) => {
        const kysely = kyselyOf(pool)
        return (account) => transactPlainlyWithKysely(kysely, account)
      }
    case 'outbox over pg':
      return (pool) => {
        const outbox = createOutbox({ db: pool, wake })
        return (account, key) =>
          outbox.commit(async (tx, message) => {
            await placeOrder(tx, account)
            message.publish(topic, PAYLOAD, key === undefined ? {} : { key })
          })
      }
    case 'outbox over kysely':
      return (pool) => {
        const outbox = createOutbox({ db: kyselyOf(pool), wake })
        return (account, key) =>
          outbox.commit(async (tx, message) => {
            await placeOrderWithKysely(tx, account)
            message.publish(topic, PAYLOAD, key === undefined ? {} : { key })
          })
      }
    default: {
      const write = await outboxPeers[contender](database, setUp)
      return (pool) => (account) =>
        transactPlainly(pool, async (client) => {
          await placeOrder(client, account)
          await write(client, PAYLOAD)
        })
    }
  }
}
