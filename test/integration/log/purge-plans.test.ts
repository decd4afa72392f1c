import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ATTEMPTS_KEPT, trimAttempts } from '../../../relay/store/delivery/trim-attempts.ts'
import type { Queryable } from '../../../relay/store/queryable.ts'
import { purgeEntries } from '../../../relay/store/redis-outbox/purge-entries.ts'
import { deleteReceipts } from '../../../src/inbox/delete-receipts.ts'
import type { Statement } from '../../../src/store/database.ts'
import { deleteBarrierRows } from '../../../src/store/delete-barrier-rows.ts'
import { selectOldCommits } from '../../../src/store/select-old-commits.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { explain } from '../../support/explain.ts'

const HOUR_MS = 3_600_000
const ROWS = 30_000

let db: TestDatabase

/** Rows of every kind; `hours` old. */
const fill = async (from: number, hours: number): Promise<void> => {
  const range = `generate_series(${from + 1}, ${from + ROWS}) n`
  const at = `now() - interval '${hours} hours'`
  await db.pool.query(`insert into postcommit.barrier (gid, branch, op, barrier_id, reason, created_at)
    select 'g' || n, case n % 3 when 2 then '' else '1' end, (array['inbox', 'action', 'commit'])[1 + n % 3],
      (array['stock', '01', ''])[1 + n % 3], 'r', ${at} from ${range}`)
  await db.pool.query(`insert into postcommit.redis_entry (name, gid, op, applied_at)
    select 'sale', 'g' || n, 'deduct', ${at} from ${range}`)
}

beforeAll(async () => {
  db = await database()
  // Two rounds of filling and purging: what comes last lies between what is old.
  await fill(0, 5)
  await fill(ROWS, 1)
  for (const table of ['barrier', 'redis_entry']) {
    const age = table === 'barrier' ? 'created_at' : 'applied_at'
    await db.pool.query(
      `delete from postcommit.${table} where ${age} < now() - interval '2 hours' and hashtext(gid) % 50 <> 0`,
    )
    await db.pool.query(`vacuum postcommit.${table}`)
  }
  await fill(2 * ROWS, 0)
  await db.pool.query('analyze')
})
afterAll(() => db.drop())

const written =
  (statement: Statement) =>
  (client: Queryable): Promise<unknown> =>
    client.query({ text: statement.text, values: [...statement.values] })

describe('what is purged by age is found by its index, also where purging has made room before', () => {
  test.each([
    ['receipts', 'barrier_receipts', written(deleteReceipts('stock', 2 * HOUR_MS, 5000))],
    ['branches', 'barrier_branches', written(deleteBarrierRows(2 * HOUR_MS, 5000))],
    ['commits', 'barrier_commits', written(selectOldCommits(2 * HOUR_MS, '', 500))],
    ['entries of Redis', 'redis_entry_applied', (client: Queryable) => purgeEntries(client, 2 * HOUR_MS)],
  ])('%s', async (_, index, run) => {
    const nodes = await explain(db.pool, run)
    const read = nodes.filter((node) => ['barrier', 'redis_entry'].includes(node['Relation Name'] ?? ''))
    expect(read.map((node) => node['Node Type'])).not.toContain('Seq Scan')
    const scan = nodes.find((node) => node['Index Name'] === index)
    expect(scan).toBeDefined()
    // Only the rows of commits are read in the order of gids, the young ones too.
    if (index !== 'barrier_commits') expect(scan?.['Rows Removed by Filter'] ?? 0).toBe(0)
  })
})

test('of the failed attempts of a message the newest are kept', async () => {
  const { rows } = await db.pool.query<{ id: string }>(`insert into postcommit.delivery
    (gid, branch, destination, target, slot, payload) values ('g', 1, 'stock', '/', 0, '{}') returning id`)
  const id = rows[0]?.id ?? ''
  await db.pool.query(
    `insert into postcommit.attempt (delivery_id, event, attempt, actor)
     select $1, case when n = 1 then 'requeued' else 'failed' end, n, 'test' from generate_series(1, 1000) n`,
    [id],
  )
  expect(await trimAttempts(db.pool, [id])).toBe(1000 - ATTEMPTS_KEPT - 1)
  const left = await db.pool.query(
    'select min(attempt) filter (where event = $2) as first, count(*)::int as rows from postcommit.attempt where delivery_id = $1',
    [id, 'failed'],
  )
  expect(left.rows).toEqual([{ first: 1000 - ATTEMPTS_KEPT + 1, rows: ATTEMPTS_KEPT + 1 }])
  expect(await trimAttempts(db.pool, [id])).toBe(0)
})
