/** A log with few messages keeps them no longer than one with many: its partitions end by time as well as by number. */
import { createRelay } from '@postcommit/relay'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { dropOldPartitions, endOldPartition, makePartitionsAhead } from '../../../relay/housekeeping/partitions.ts'
import { drawIds } from '../../../relay/store/log/draw-ids.ts'
import { selectExpiredId } from '../../../relay/store/log/select-expired-id.ts'
import { selectPartitions } from '../../../relay/store/log/select-partitions.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { nats } from '../../support/nats.ts'

const log = pino({ level: 'silent' })
const DAY_MS = 86_400_000
let db: TestDatabase

beforeEach(async () => {
  db = await database()
})
afterEach(() => db.drop())

const publish = (subject: string, n: number) =>
  createOutbox({ db: db.pool, wake: 'off' }).commit((_, message) => void message.publish(subject, n, { key: 'k' }))
const age = (hours: number, upTo = '9223372036854775807') =>
  db.pool.query(`update postcommit.outbox set created_at = now() - $1 * interval '1 hour' where id <= $2`, [
    hours,
    upTo,
  ])
const ids = async () => {
  const { rows } = await db.pool.query<{ id: string }>('select id from postcommit.outbox order by id')
  return rows.map(({ id }) => Number(id))
}
const names = async () => (await selectPartitions(db.pool)).map(({ name }) => name)

describe('the partition that is being written', () => {
  test('ends when its oldest message is older than a quarter of the retention', async () => {
    await makePartitionsAhead(db.pool, log)
    await publish('a.b', 1)
    await age(5.9)
    await endOldPartition(db.pool, DAY_MS, log)
    await publish('a.b', 2)
    expect(await ids()).toEqual([1, 2])
    await age(6.1)
    await endOldPartition(db.pool, DAY_MS, log)
    await endOldPartition(db.pool, DAY_MS, log)
    await publish('a.b', 3)
    expect(await ids()).toEqual([1, 2, 1_000_000])
  })

  test('does not end while it is empty, or while there is no other to go on with', async () => {
    await makePartitionsAhead(db.pool, log)
    await endOldPartition(db.pool, DAY_MS, log)
    await publish('a.b', 1)
    expect(await ids()).toEqual([1])
    await age(48)
    await db.pool.query('drop table postcommit.outbox_p1')
    await endOldPartition(db.pool, DAY_MS, log)
    await publish('a.b', 2)
    expect(await ids()).toEqual([1, 2])
  })

  test('is dropped after the retention although nothing has come since', async () => {
    await makePartitionsAhead(db.pool, log)
    await publish('a.b', 1)
    await age(25)
    await endOldPartition(db.pool, DAY_MS, log)
    const { rows } = await db.pool.query<{ last: string }>('select last_value as last from postcommit.outbox_id')
    await db.pool.query('update postcommit.position set low = $1, snapshot = pg_current_snapshot()', [rows[0]?.last])
    await dropOldPartitions(db.pool, 2 * DAY_MS, log)
    expect(await ids()).toEqual([1])
    await dropOldPartitions(db.pool, DAY_MS, log)
    expect(await ids()).toEqual([])
    expect(await names()).toEqual(['outbox_p1', 'outbox_p2'])
  })
})

test('ids are drawn by one alone and only forward, whoever commits meanwhile', async () => {
  await makePartitionsAhead(db.pool, log)
  const writers = Array.from({ length: 4 }, async (_, writer) => {
    for (let n = 0; n < 50; n += 1) await publish('a.b', writer * 1000 + n)
  })
  await Promise.all([...writers, drawIds(db.pool, 999_999n), drawIds(db.pool, 999_999n), drawIds(db.pool, 500_000n)])
  const found = await ids()
  expect(found).toHaveLength(200)
  expect(new Set(found).size).toBe(200)
  await publish('a.b', 1)
  const newest = (await ids()).at(-1) ?? 0
  expect(newest).toBeGreaterThan(Math.max(...found))
  expect(newest).toBeGreaterThanOrEqual(1_000_000)
})

test.each([0, 1, 37, 99, 100])('the id up to which the log has expired is found: %i of 100', async (old) => {
  for (let n = 1; n <= 100; n += 1) await db.pool.query(INSERT, [n < 50 ? n : n + 1_000_000, `g${n}`])
  const edge = old < 50 ? old : old + 1_000_000
  await age(25, String(edge))
  expect(await selectExpiredId(db.pool, DAY_MS)).toBe(BigInt(old === 0 ? 0 : edge))
})

const INSERT = `with drawn as (select setval('postcommit.outbox_id', $1::bigint))
insert into postcommit.outbox (id, gid, branch, topic, slot, payload) select $1, $2, 0, 'a.b', 1, '{}' from drawn`

test('a relay drops what few messages there are after the retention, and loses none of them', async () => {
  await using broker = await nats()
  const stream = await broker.freshStream('slow')
  const count = async () => (await stream.manager.streams.info(stream.name)).state.messages
  const options = { db: db.url, nats: { connection: { servers: broker.url } }, log, retentionMs: 600_000 }
  const relay = createRelay(options)
  await relay.start()
  for (let n = 1; n <= 3; n += 1) await publish(`${stream.prefix}.a`, n)
  await eventually(async () => expect(await count()).toBe(3), { timeoutMs: 30_000 })
  await age(1)
  await eventually(async () => expect(await ids()).toEqual([]), { timeoutMs: 55_000, everyMs: 200 })
  await publish(`${stream.prefix}.a`, 4)
  expect(await ids()).toEqual([1_000_000])
  await eventually(async () => expect(await count()).toBe(4), { timeoutMs: 30_000 })
  await relay.stop()
}, 120_000)
