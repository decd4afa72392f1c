/** A service that places orders and has each of them followed by a call, by a relay that cannot read its database. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createOutbox, createRelayClient } from 'postcommit'
import { armFailpoints } from 'postcommit/protocol'
import { ACCOUNTS, placeOrder, transactPlainly } from '../business.ts'
import { openDtmClient } from '../dtm-client.ts'
import { serve } from '../serve.ts'

/** Its database, and who carries its messages. */
export interface AnnouncingServiceConfig {
  readonly database: string
  readonly connections: number
  readonly contender: 'nobody' | 'postcommit' | 'dtm'
  /** Where the relay, or the replay of DTM, is reached. */
  readonly url: string
  /** The service that is called, for DTM, which knows addresses only. */
  readonly branchUrl: string
  readonly checkAfterMs?: number
  /** Crash points; see `postcommit/protocol`. */
  readonly failpoints?: string
}

export type AnnouncingServiceCommands = {
  /** Places so many orders over all connections; resolves when the last of them is committed. */
  commit(orders: number): Promise<void>
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
  const commit = (): Promise<unknown> => {
    account = (account + 1) % ACCOUNTS
    return order(account)
  }
  return {
    commands: {
      async commit(orders) {
        let left = orders
        const one = async (): Promise<void> => {
          while (left > 0) {
            left -= 1
            await commit()
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
  readonly order: (account: number) => Promise<unknown>
  readonly close: () => Promise<void>
}

function open(config: AnnouncingServiceConfig, pool: pg.Pool): Announcer {
  const { contender, url, branchUrl, connections, checkAfterMs = 10_000 } = config
  switch (contender) {
    case 'nobody':
      return {
        order: (account) => transactPlainly(pool, (client) => placeOrder(client, account)),
        close: async () => undefined,
      }
    case 'postcommit': {
      const relay = createRelayClient({ url })
      const backQuery = { destination: 'orders', path: '/back-query' }
      const outbox = createOutbox({ db: pool, relay, backQuery, checkAfterMs })
      return {
        order: (account) =>
          outbox.commit(async (tx, message) => {
            await placeOrder(tx, account)
            message.call('stock', '/plain', PAYLOAD)
          }),
        close: () => relay.close(),
      }
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
