import type pg from 'pg'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makePartitionsAhead } from '../../../relay/housekeeping/partitions.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'

const SIZE = 20
const log = pino({ level: 'silent' })
let db: TestDatabase
let housekeeper: pg.PoolClient

beforeAll(async () => {
  db = await database()
  housekeeper = await db.pool.connect()
  await db.pool.query('drop table postcommit.outbox_p0, postcommit.outbox_p1')
  await db.pool.query('update postcommit.installation set partition_size = $1', [SIZE])
})
afterAll(async () => {
  housekeeper.release()
  await db.drop()
})

/** The next id is of a range without a partition. */
const goTo = (partition: number) => db.pool.query(`select setval('postcommit.outbox_id', $1)`, [partition * SIZE])
const commit = () => createOutbox({ db: db.pool, wake: 'off' }).commit((_, message) => message.publish('a.b', 1))
const waiting = async () =>
  (
    await db.pool.query(
      `select from pg_locks l join pg_database d on d.oid = l.database
where not l.granted and l.relation::regclass::text like 'postcommit.outbox%' and d.datname = current_database()`,
    )
  ).rowCount

test('a partition that is made while an id of its range is being given refuses no commit', async () => {
  const locker = await db.pool.connect()
  let made = 0
  const failures: string[] = []
  for (let partition = 10; made < 3 && partition < 500; partition += 10) {
    await goTo(partition)
    // Those that want to change the default partition come into a line, the housekeeping first.
    await locker.query('begin; lock table postcommit.outbox_default in share row exclusive mode')
    const making = makePartitionsAhead(housekeeper, log)
    await eventually(async () => expect(await waiting()).toBe(1), { everyMs: 1 })
    const committing = commit().catch((error: Error) => failures.push(error.message))
    await eventually(async () => expect(await waiting()).toBe(2), { everyMs: 1, timeoutMs: 90 }).catch(() => undefined)
    await locker.query('commit')
    await making
    await committing
    const { rows } = await db.pool.query(`select to_regclass('postcommit.outbox_p${partition}') is not null as made`)
    // The line was too long for the time that the housekeeping waits: next time.
    if (rows[0].made) made += 1
  }
  locker.release()
  expect(failures).toEqual([])
  expect(made).toBe(3)
})

test('ids that the default partition holds already are found out without a lock', async () => {
  await goTo(100_000)
  await commit()
  const asked: string[] = []
  const watched = {
    query(config: pg.QueryConfig) {
      asked.push(config.text)
      return housekeeper.query(config)
    },
  }
  await makePartitionsAhead(watched as typeof housekeeper, log)
  expect(asked.filter((text) => text.includes('outbox_p100000 '))).toEqual([])
  expect(asked.filter((text) => text.includes('outbox_p100001 '))).toHaveLength(1)
})
