/** A service that places orders, each followed by a message: a call, or events that are published. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createOutbox, createRelayClient, type Outbox } from 'postcommit'
import { armFailpoints } from 'postcommit/protocol'
import { ACCOUNTS, placeOrder, transactPlainly } from '../business.ts'
import { openDtmClient } from '../dtm-client.ts'
import { serve } from '../serve.ts'

/** Its database, and who carries its messages. */
export interface AnnouncingServiceConfig {
  readonly database: string
  readonly connections: number
  /** `bare`: no message. `outbox`: in its own database. `two-phase`: by a relay that cannot read its database. */
  readonly contender: 'bare' | 'outbox' | 'two-phase' | 'dtm'
  /** Where the relay, or the replay of DTM, is reached. */
  readonly url: string
  /** The service that is called, for DTM, which knows addresses only. */
  readonly branchUrl: string
  readonly checkAfterMs?: number
  /** Crash points; see `postcommit/protocol`. */
  readonly failpoints?: string
}

/** How many events of which topic follow an order, instead of a call. */
export interface Events {
  readonly topic: string
  readonly count: number
}

export type AnnouncingServiceCommands = {
  /** Places so many orders over all connections; resolves when the last of them is committed. */
  commit(orders: number, events?: Events | null): Promise<void>
  /** Places orders at `perSecond` on average for `ms`; resolves to how long each commit took, milliseconds, sorted. */
  paced(perSecond: number, ms: number): Promise<readonly number[]>
}

const PAYLOAD = { order: 'x'.repeat(200 - '{"order":""}'.length) }

serve<AnnouncingServiceConfig, AnnouncingServiceCommands>(async (config) => {
  const { database, connections, failpoints } = config
  if (failpoints !== undefined) armFailpoints(failpoints)
  const pool = new pg.Pool({ connectionString: database, max: connections, idleTimeoutMillis: 0 })
  const { order, close } = open(config, pool)
  let account = 0
  const commit = (events: Events | null = null): Promise<unknown> => {
    account = (account + 1) % ACCOUNTS
    return order(account, events)
  }
  return {
    commands: {
      async commit(orders, events) {
        let left = orders
        const one = async (): Promise<void> => {
          while (left > 0) {
            left -= 1
            await commit(events)
          }
        }
        await Promise.all(Array.from({ length: connections }, one))
      },
      async paced(perSecond, ms) {
        const times: Promise<number>[] = []
        const startedAt = performance.now()
        for (let due = 0; due < ms; due += (-Math.log(1 - Math.random()) * 1000) / perSecond) {
          const waitMs = startedAt + due - performance.now()
          if (waitMs > 0) await sleep(waitMs)
          const begunAt = performance.now()
          times.push(commit().then(() => performance.now() - begunAt))
        }
        return (await Promise.all(times)).sort((a, b) => a - b)
      },
    },
    async close() {
      await close()
      await pool.end()
    },
  }
})

interface Announcer {
  readonly order: (account: number, events: Events | null) => Promise<unknown>
  readonly close: () => Promise<void>
}

function open(config: AnnouncingServiceConfig, pool: pg.Pool): Announcer {
  const { contender, url, branchUrl, connections } = config
  switch (contender) {
    case 'bare':
      return {
        order: (account) => transactPlainly(pool, (client) => placeOrder(client, account)),
        close: async () => undefined,
      }
    case 'outbox':
      return { order: orderOver(createOutbox({ db: pool })), close: async () => undefined }
    case 'two-phase': {
      const relay = createRelayClient({ url })
      const backQuery = { destination: 'orders', path: '/back-query' }
      const outbox = createOutbox({ db: pool, relay, backQuery, checkAfterMs: config.checkAfterMs ?? 10_000 })
      return { order: orderOver(outbox), close: () => relay.close() }
    }
    case 'dtm': {
      const dtm = openDtmClient(url, connections)
      const message = {
        action: `${branchUrl}/plain`,
        payload: JSON.stringify(PAYLOAD),
        queryPrepared: `${branchUrl}/back-query`,
      }
      return {
        order: (account) => dtm.commit(pool, message, (client) => placeOrder(client, account)),
        close: () => dtm.close(),
      }
    }
  }
}

function orderOver(outbox: Outbox<pg.PoolClient>): Announcer['order'] {
  return (account, events) =>
    outbox.commit(async (tx, message) => {
      await placeOrder(tx, account)
      if (events === null) message.call('stock', '/plain', PAYLOAD)
      else for (let event = 0; event < events.count; event += 1) message.publish(events.topic, PAYLOAD)
    })
}
