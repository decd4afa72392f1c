import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { claimDue } from '../../../relay/store/delivery/claim-due.ts'
import { discardDeadLetters } from '../../../relay/store/delivery/discard-dead-letters.ts'
import { purgeSettled } from '../../../relay/store/delivery/purge-settled.ts'
import { recordSettlements } from '../../../relay/store/delivery/record-settlements.ts'
import { releaseClaims } from '../../../relay/store/delivery/release-claims.ts'
import { releaseHeld } from '../../../relay/store/delivery/release-held.ts'
import { releaseSuccessors } from '../../../relay/store/delivery/release-successors.ts'
import { releaseUnsent } from '../../../relay/store/delivery/release-unsent.ts'
import { requeueDeadLetters } from '../../../relay/store/delivery/requeue-dead-letters.ts'
import { selectDeadLetters } from '../../../relay/store/delivery/select-dead-letters.ts'
import { selectNextDue } from '../../../relay/store/delivery/select-next-due.ts'
import type { Queryable } from '../../../relay/store/queryable.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { dispatcherSessions, insertTestRelay, notedAct } from '../../support/deliveries.ts'
import { explain } from '../../support/explain.ts'

let db: TestDatabase
let pool: pg.Pool
let relay: string

const FILL = `insert into postcommit.delivery (gid, branch, destination, target, key, slot, payload, state, due_at, settled_at)
select 'g' || n, 1, (array['stock', 'mail'])[1 + n % 2], '/', case when n % 3 = 0 then 'k' || n % 1000 end, 0, '{}',
  case when n <= 12000 then 'confirmed' when n % 100 = 1 then 'dead' else 'pending' end,
  now() + interval '1 hour', case when n <= 12000 then now() end
from generate_series(1, 20000) n`
const HOLD = `update postcommit.delivery set state = 'held' where key is not null and state = 'pending'`
const ANALYZE = 'analyze postcommit.delivery'

const slots = [
  { destination: 'stock', free: 32 },
  { destination: 'mail', free: 32 },
]
const act = notedAct('test', 'test')
const statements: Record<string, (client: Queryable) => Promise<unknown>> = {
  claimDue: (client) => claimDue(client, relay, randomUUID(), 60_000, slots, 500),
  recordSettlements: (client) =>
    recordSettlements(client, 'relay 1', [
      { id: '1', token: randomUUID(), settlement: { event: 'confirmed', status: 200 }, durationMs: 1 },
    ]),
  releaseSuccessors: (client) => releaseSuccessors(client, [{ destination: 'stock', key: 'k6' }]),
  releaseClaims: (client) => releaseClaims(client, [randomUUID()]),
  releaseUnsent: (client) => releaseUnsent(client, [{ id: '1', token: randomUUID() }]),
  releaseHeld,
  selectNextDue: (client) => selectNextDue(client, ['stock', 'mail']),
  selectDeadLetters: (client) => selectDeadLetters(client, { limit: 10 }),
  requeueDeadLetters: (client) => requeueDeadLetters(client, ['1'], act),
  discardDeadLetters: (client) => discardDeadLetters(client, ['1'], act),
  purgeSettled: (client) => purgeSettled(client, 3_600_000),
}

// Statistics are always older than the table. Plans that were made by them must do all the same.
describe.each([
  ['is empty', [ANALYZE, FILL, HOLD]],
  ['holds nothing', [FILL, ANALYZE, HOLD]],
  ['is what it is', [FILL, HOLD, ANALYZE]],
])('no statement reads more than it needs of a table that, for all the statistics know, %s', (_, history) => {
  beforeAll(async () => {
    db = await database()
    pool = new pg.Pool({ ...dispatcherSessions(db.url), max: 1 })
    relay = await insertTestRelay(pool)
    await pool.query('alter table postcommit.delivery set (autovacuum_enabled = false)')
    for (const statement of history) await pool.query(statement)
  })
  afterAll(async () => {
    await pool.end()
    await db.drop()
  })

  test.each(Object.entries(statements))('%s', async (_, run) => {
    const nodes = await explain(pool, run)
    const ofTable = nodes.filter((node) => node['Relation Name'] === 'delivery')
    expect(ofTable).not.toEqual([])
    expect(nodes.map((node) => node['Node Type'])).not.toContain('Seq Scan')
    // The one result of this test carries a token that does not fit.
    for (const node of ofTable) expect(node['Rows Removed by Filter'] ?? 0).toBeLessThanOrEqual(1)
  })

  test('a claim that finds nothing due has looked at nothing', async () => {
    const nodes = await explain(pool, (client) => claimDue(client, relay, randomUUID(), 60_000, slots))
    const scan = nodes.find((node) => node['Index Name'] === 'delivery_due')
    expect(scan?.['Actual Loops']).toBe(2)
    expect(scan?.['Actual Rows']).toBe(0)
  })

  test('the successors of a key are found by the key, however many rows are held', async () => {
    const nodes = await explain(pool, (client) => releaseSuccessors(client, [{ destination: 'stock', key: 'k6' }]))
    expect(nodes.map((node) => node['Index Name'])).not.toContain('delivery_held')
  })
})
