import { randomUUID } from 'node:crypto'
import { makeWorkerUtils } from 'graphile-worker'
import type pg from 'pg'
import PgBoss from 'pg-boss'
import { DatabaseSetup, getDisabledLogger, initializeMessageStorage } from 'pg-transactional-outbox'

/** Writes one message into a transaction that is open on `client`. */
export type WriteMessage = (client: pg.ClientBase, payload: object) => Promise<unknown>

/** What a user would take instead, each in the way its documentation gives for a transaction of the user's own. */
export const outboxPeers = {
  async 'pg-boss'(url: string): Promise<WriteMessage> {
    const boss = new PgBoss({ connectionString: url, max: 1, supervise: false, schedule: false })
    await boss.start()
    await boss.createQueue('bench')
    return (client, payload) => {
      const db = { executeSql: (text: string, values: unknown[]) => client.query(text, values) }
      return boss.send('bench', payload, { db })
    }
  },
  async 'graphile-worker'(url: string): Promise<WriteMessage> {
    const utils = await makeWorkerUtils({ connectionString: url, maxPoolSize: 1 })
    await utils.migrate()
    await utils.release()
    return (client, payload) =>
      client.query('select graphile_worker.add_job($1, $2::json)', ['bench', JSON.stringify(payload)])
  },
  async 'pg-transactional-outbox'(_url: string, pool: pg.Pool): Promise<WriteMessage> {
    const names = { outboxOrInbox: 'outbox', schema: 'public', table: 'outbox' } as const
    const set = { ...names, database: 'bench', listenerRole: 'bench', nextMessagesName: 'next_outbox_messages' }
    await pool.query(DatabaseSetup.dropAndCreateTable(set))
    await pool.query(DatabaseSetup.createPollingFunction(set))
    await pool.query(DatabaseSetup.setupPollingIndexes(set))
    const settings = {
      dbSchema: names.schema,
      dbTable: names.table,
      enableMaxAttemptsProtection: false,
      enablePoisonousMessageProtection: false,
    }
    const store = initializeMessageStorage({ outboxOrInbox: 'outbox', settings }, getDisabledLogger())
    return (client, payload) =>
      store(
        { id: randomUUID(), aggregateType: 'order', aggregateId: '1', messageType: 'order.placed', payload },
        client as pg.PoolClient,
      )
  },
}

/** Their names. */
export type OutboxPeer = keyof typeof outboxPeers
