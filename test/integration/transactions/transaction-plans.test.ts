import { randomUUID } from 'node:crypto'
import { Kysely, type LogEvent, PostgresDialect } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Queryable } from '../../../relay/store/queryable.ts'
import type { Tables } from '../../../relay/store/tables.ts'
import { claimChecks } from '../../../relay/store/transaction/claim-checks.ts'
import { claimTransactions } from '../../../relay/store/transaction/claim-transactions.ts'
import { expediteHeads } from '../../../relay/store/transaction/expedite-heads.ts'
import { expediteTransaction } from '../../../relay/store/transaction/expedite-transactions.ts'
import { fanOutBranch } from '../../../relay/store/transaction/fan-out-branch.ts'
import { insertTransactions } from '../../../relay/store/transaction/insert-transactions.ts'
import { listTransactions } from '../../../relay/store/transaction/list-transactions.ts'
import { moveTransactions } from '../../../relay/store/transaction/move-transactions.ts'
import { pauseTransaction } from '../../../relay/store/transaction/pause-transaction.ts'
import { recordProgress } from '../../../relay/store/transaction/record-progress.ts'
import { registerBranches } from '../../../relay/store/transaction/register-branches.ts'
import { releaseTransactions } from '../../../relay/store/transaction/release-transactions.ts'
import { selectCheckDestinations } from '../../../relay/store/transaction/select-check-destinations.ts'
import { selectNextTransactionDue } from '../../../relay/store/transaction/select-next-transaction-due.ts'
import { selectOperations } from '../../../relay/store/transaction/select-operations.ts'
import { selectTransaction } from '../../../relay/store/transaction/select-transaction.ts'
import { selectTransactionStates } from '../../../relay/store/transaction/select-transaction-states.ts'
import { submitPrepared } from '../../../relay/store/transaction/submit-prepared.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { dispatcherSessions, insertTestRelay } from '../../support/deliveries.ts'
import { explain } from '../../support/explain.ts'
import { claimOf, transaction } from '../../support/transactions.ts'

let db: TestDatabase
let pool: pg.Pool
let relay: string

// A fifth of them unfinished, half of those prepared; all of them due in an hour.
const FILL = `with written as (
  insert into postcommit.global_transaction
    (id, tenant, gid, mode, status, run_by, digest, check_destination, op_count, key, due_at, finished_at)
  select nextval('postcommit.global_transaction_id'), '', 'g' || n, 'saga',
    case when n % 5 > 0 then 'succeed' when n % 10 = 0 then 'prepared' else 'submitted' end, 'client', 'content',
    (array['orders', 'stock', 'mail', ''])[1 + n % 4], 1, case when n % 3 = 0 then 'k' || n % 100 end,
    now() + interval '1 hour', case when n % 5 > 0 then now() end
  from generate_series(1, 20000) n returning id
)
insert into postcommit.branch (transaction_id, branch, op, place, target) select id, '01', 'action', 0, '' from written`
const ANALYZE = 'analyze postcommit.global_transaction, postcommit.branch'

const key = { tenant: '', gid: 'g10' }
const act = { actor: 'test', reason: 'test' }
const statements: Record<string, (client: Queryable) => Promise<unknown>> = {
  insertTransactions: (client) => insertTransactions(client, [transaction(), transaction(key)]),
  submitPrepared: (client) =>
    submitPrepared(client, [{ ...key, mode: 'saga', digest: 'content', dueInMs: 0, claim: claimOf(relay) }]),
  moveTransactions: (client) =>
    moveTransactions(
      client,
      [{ ...key, event: 'abort' }],
      [{ event: 'abort', mode: 'msg', from: 'prepared', to: 'failed' }],
    ),
  registerBranches: (client) =>
    registerBranches(client, [
      { ...key, mode: 'saga', operations: [{ branch: '02', op: 'action', target: '' }], ended: ['01'] },
    ]),
  claimTransactions: (client) => claimTransactions(client, claimOf(relay), 100),
  claimChecks: (client) => claimChecks(client, claimOf(relay), [{ destination: 'orders', free: 100 }]),
  recordProgress: (client) =>
    recordProgress(client, relay, [
      {
        ...{ id: '9', token: randomUUID(), from: 'submitted', to: 'succeed', opCount: 1, seq: 0, asked: 0 },
        operations: [{ branch: '01', op: 'action', status: 'succeed', calls: 1, attempts: 0 }],
      },
    ]),
  releaseTransactions: (client) => releaseTransactions(client, [{ id: '9', token: randomUUID() }]),
  selectOperations: (client) => selectOperations(client, ['9']),
  selectTransactionStates: (client) => selectTransactionStates(client, [key]),
  selectTransaction: (client) => selectTransaction(client, key),
  selectNextTransactionDue,
  selectCheckDestinations,
  expediteHeads: (client) => expediteHeads(client, [{ tenant: '', key: 'k3' }]),
  expediteTransaction: (client) => expediteTransaction(client, key, { actor: 'ada', reason: 'why' }),
  pauseTransaction: (client) => pauseTransaction(client, key, act),
  fanOutBranch: (client) =>
    fanOutBranch(client, {
      id: '9',
      token: randomUUID(),
      tenant: '',
      branch: '01',
      sequential: true,
      topic: 'order.placed',
    }),
}

// Statistics are always older than the table. Plans that were made by them must do all the same.
describe.each([
  ['is empty', [ANALYZE, FILL]],
  ['is what it is', [FILL, ANALYZE]],
])('no statement reads more than it needs of a table that, for all the statistics know, %s', (_, history) => {
  beforeAll(async () => {
    db = await database()
    pool = new pg.Pool({ ...dispatcherSessions(db.url), max: 1 })
    relay = await insertTestRelay(pool)
    for (const table of ['global_transaction', 'branch']) {
      await pool.query(`alter table postcommit.${table} set (autovacuum_enabled = false)`)
    }
    for (const statement of history) await pool.query(statement)
  })
  afterAll(async () => {
    await pool.end()
    await db.drop()
  })

  test.each(Object.entries(statements))('%s', async (_, run) => {
    await pool.query('begin')
    const nodes = await explain(pool, run)
    await pool.query('rollback')
    const ofTables = nodes.filter((node) => ['global_transaction', 'branch'].includes(node['Relation Name'] ?? ''))
    expect(ofTables).not.toEqual([])
    for (const node of ofTables) {
      expect(node['Node Type']).not.toBe('Seq Scan')
      expect(node['Actual Rows'] * node['Actual Loops']).toBeLessThanOrEqual(4)
      expect(node['Rows Removed by Filter'] ?? 0).toBeLessThanOrEqual(2)
    }
  })

  test('lists stop at the end of their page, that of the undecided as well', async () => {
    const read: string[] = []
    let query = { sql: '', parameters: [] as readonly unknown[] }
    const log = (event: LogEvent) => {
      query = event.query
    }
    const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }), log })
    for (const filter of [{ before: '15000' }, { inDoubt: true }, { inDoubt: true, tenant: '', before: '15000' }]) {
      await listTransactions(kysely, filter, 10)
      const nodes = await explain(pool, (client) => client.query({ text: query.sql, values: [...query.parameters] }))
      for (const node of nodes.filter((one) => one['Relation Name'] === 'global_transaction')) {
        expect(node['Node Type']).not.toBe('Seq Scan')
        expect(node['Actual Rows'] * node['Actual Loops']).toBeLessThanOrEqual(10)
        expect(node['Rows Removed by Filter'] ?? 0).toBeLessThanOrEqual(10)
      }
      // A scan of a bitmap names its index in the node below it.
      read.push(...nodes.flatMap((node) => node['Index Name'] ?? []))
    }
    expect(read).toEqual(
      expect.arrayContaining(['global_transaction_pkey', 'global_transaction_asked', 'global_transaction_check']),
    )
  })
})
