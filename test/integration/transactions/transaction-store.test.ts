import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Mode } from '../../../relay/engine/transaction/transaction.ts'
import { claimChecks } from '../../../relay/store/transaction/claim-checks.ts'
import { claimTransactions } from '../../../relay/store/transaction/claim-transactions.ts'
import { insertTransactions } from '../../../relay/store/transaction/insert-transactions.ts'
import { type MoveRule, moveTransactions } from '../../../relay/store/transaction/move-transactions.ts'
import { recordProgress } from '../../../relay/store/transaction/record-progress.ts'
import { registerBranches } from '../../../relay/store/transaction/register-branches.ts'
import { selectTransactionStates } from '../../../relay/store/transaction/select-transaction-states.ts'
import { submitPrepared } from '../../../relay/store/transaction/submit-prepared.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { dispatcherSessions, insertTestRelay } from '../../support/deliveries.ts'
import { claimOf, insertTransaction, progressOf, storedTransaction, transaction } from '../../support/transactions.ts'

let db: TestDatabase
let pool: pg.Pool
let relay: string

beforeAll(async () => {
  db = await database()
  pool = new pg.Pool(dispatcherSessions(db.url))
  relay = await insertTestRelay(pool)
})
afterAll(async () => {
  await pool.end()
  await db.drop()
})

const ABORT: readonly MoveRule[] = [
  { event: 'abort', mode: 'msg', from: 'prepared', to: 'failed' },
  { event: 'abort', mode: 'tcc', from: 'prepared', to: 'aborting' },
]

const submission = (gid: string, digest = 'content', mode: Mode = 'msg') => ({
  tenant: '',
  gid,
  mode,
  digest,
  dueInMs: 0,
})

describe('insertTransactions', () => {
  test('writes each with its own branches, whatever their number and order', async () => {
    const several = [3, 0, 1, 2].map((count, index) =>
      transaction({
        gid: `${9 - index}-${randomUUID()}`,
        operations: Array.from({ length: count }, (_, n) => ({ branch: `0${n}`, op: 'action', target: `${index}` })),
      }),
    )
    const ids = (await insertTransactions(pool, several)).map((one) => one?.id)
    expect(new Set(ids).size).toBe(4)
    for (const [index, { gid, operations }] of several.entries()) {
      const stored = await storedTransaction(pool, gid)
      expect(stored.ops).toEqual(operations.map(({ branch }) => `${branch} action prepared`))
      const { rows } = await pool.query('select distinct target from postcommit.branch where transaction_id = $1', [
        ids[index],
      ])
      expect(rows).toEqual(operations.length === 0 ? [] : [{ target: `${index}` }])
    }
  })

  test('keeps the exact text, bytes, and what must come before', async () => {
    const payload = '{ "b": 1.0, "a": "\u2028\\u0000" }'
    const { gid } = await insertTransaction(pool, {
      status: 'submitted',
      claim: claimOf(relay, 0),
      operations: [
        { branch: '01', op: 'action', target: 'a', payload, options: '{ }' },
        { branch: '02', op: 'action', target: 'b', body: Buffer.from([0, 255]), after: ['01', 'a"b\\c,{}'] },
        { branch: '03', op: 'action', target: '', recovery: 'pivot', startSeq: 4, leaseMs: 60_000, after: [] },
      ],
    })
    const claimed = (await claimTransactions(pool, claimOf(relay), 1000)).find((one) => one.gid === gid)
    expect(claimed?.operations).toMatchObject([
      { branch: '01', payload, body: null, options: '{ }', after: null, startSeq: null, calls: 0, leaseUntilMs: null },
      { branch: '02', payload: null, body: Buffer.from([0, 255]), after: ['01', 'a"b\\c,{}'] },
      { branch: '03', target: '', recovery: 'pivot', startSeq: 4, calls: 1, after: [] },
    ])
    expect(claimed?.operations[2]?.leaseUntilMs).toBeGreaterThan(claimed?.nowMs ?? Number.NaN)
  })

  test('a gid that is there, or is given twice, is written once and with the branches of one', async () => {
    const gid = randomUUID()
    const first = transaction({ gid, operations: [{ branch: 'first', op: 'action', target: '' }] })
    const second = { ...first, operations: [{ branch: 'second', op: 'action', target: '' }] }
    const ids = await insertTransactions(pool, [first, second, transaction()])
    expect(ids.map((id) => id !== undefined)).toEqual([true, false, true])
    expect(await insertTransactions(pool, [second])).toEqual([undefined])
    expect((await storedTransaction(pool, gid)).ops).toEqual(['first action prepared'])
    const { rows: orphans } = await pool.query(
      `select from postcommit.branch where transaction_id not in (select id from postcommit.global_transaction)`,
    )
    expect(orphans).toEqual([])
  })

  test('gids of different tenants are different', async () => {
    const gid = randomUUID()
    await insertTransaction(pool, { gid, tenant: 'a' })
    await insertTransaction(pool, { gid, tenant: 'b', digest: 'other' })
    const keys = ['a', 'b', 'c'].map((tenant) => ({ tenant, gid }))
    const states = await selectTransactionStates(pool, keys)
    expect(states.map((state) => state?.digest)).toEqual(['content', 'other', undefined])
  })
})

test('prepare, submit with a claim, record: what a message costs', async () => {
  const { gid } = await insertTransaction(pool)
  const claim = claimOf(relay)
  const [claimed] = [...(await submitPrepared(pool, [{ ...submission(gid), claim }])).values()]
  expect(claimed).toMatchObject({ gid, status: 'submitted', claimed: true, operations: [{ payload: '{"n":1}' }] })
  if (claimed === undefined) throw new Error('it was not moved')
  const done = { branch: '01', op: 'action', status: 'succeed', calls: 1, attempts: 0, httpStatus: 200 } as const
  const progress = progressOf(claimed, claim.token, { to: 'succeed', operations: [done] })
  expect(await recordProgress(pool, relay, [progress])).toEqual(new Set([claimed.id]))
  expect(await storedTransaction(pool, gid)).toMatchObject({
    status: 'succeed',
    finished: true,
    lease_token: null,
    ops: ['01 action succeed'],
  })
  expect(await recordProgress(pool, relay, [progress])).toEqual(new Set())
})

describe('submitPrepared', () => {
  test('not with other content, not twice, not without it being there', async () => {
    const { gid } = await insertTransaction(pool)
    expect((await submitPrepared(pool, [submission(gid, 'other'), submission(randomUUID())])).size).toBe(0)
    expect((await submitPrepared(pool, [submission(gid), submission(gid)])).size).toBe(1)
    expect((await submitPrepared(pool, [submission(gid)])).size).toBe(0)
  })
})

describe('a relay that has been buried claims nothing by what it takes in', () => {
  const claim = claimOf('999999999')

  test('what was prepared is submitted, and due for the others', async () => {
    const { gid } = await insertTransaction(pool)
    const request = { ...submission(gid), claim }
    expect((await submitPrepared(pool, [request])).get(request)).toMatchObject({ gid, claimed: false })
    const stored = await storedTransaction(pool, gid)
    expect(stored).toMatchObject({ status: 'submitted', lease_token: null })
    expect(stored.due_ms).toBeLessThanOrEqual(0)
  })

  test('what is new is written, due for the others, and not begun', async () => {
    const operations = [{ branch: '01', op: 'action', target: '', startSeq: 1, leaseMs: 60_000 }]
    const [dead, alive] = [claim, claimOf(relay)].map((given) =>
      transaction({ status: 'submitted', claim: given, dueInMs: 0, operations }),
    )
    if (dead === undefined || alive === undefined) throw new Error('two were made')
    expect(await insertTransactions(pool, [dead, alive])).toMatchObject([{ claimed: false }, { claimed: true }])
    expect(await storedTransaction(pool, alive.gid)).toMatchObject({ lease_token: alive.claim?.token })
    expect(await storedTransaction(pool, dead.gid)).toMatchObject({ status: 'submitted', lease_token: null })
    const found = (await claimTransactions(pool, claimOf(relay), 1000)).find(({ gid }) => gid === dead.gid)
    expect(found?.operations).toMatchObject([{ startSeq: null, calls: 0, leaseUntilMs: null }])
  })
})

describe('moveTransactions', () => {
  test('by the rule for the event, the mode and the status', async () => {
    const msg = await insertTransaction(pool)
    const tcc = await insertTransaction(pool, { mode: 'tcc', runBy: 'client' })
    const saga = await insertTransaction(pool, { mode: 'saga', status: 'submitted' })
    const moves = [msg, tcc, saga].map(({ gid }) => ({ tenant: '', gid, event: 'abort', rollbackReason: 'no stock' }))
    const moved = await moveTransactions(pool, moves, ABORT)
    expect(moves.map((move) => moved.get(move)?.status)).toEqual(['failed', 'aborting', undefined])
    expect(await storedTransaction(pool, msg.gid)).toMatchObject({ finished: true, rollback_reason: 'no stock' })
    expect(await storedTransaction(pool, saga.gid)).toMatchObject({ status: 'submitted', rollback_reason: null })
  })
})

describe('registerBranches', () => {
  test('numbers them under the lock, and not after the decision', async () => {
    const { gid } = await insertTransaction(pool, { mode: 'tcc', runBy: 'client', operations: [] })
    const register = async (branch: string, ended: readonly string[] = []) => {
      const operations = ['confirm', 'cancel'].map((op) => ({ branch, op, target: op }))
      const registration = { tenant: '', gid, mode: 'tcc', operations, ended } as const
      return (await registerBranches(pool, [registration])).get(registration)
    }
    expect(await register('01')).toEqual({ isNew: true, startSeq: 2 })
    expect(await register('02', ['01'])).toEqual({ isNew: true, startSeq: 4 })
    expect(await register('01')).toEqual({ isNew: false, startSeq: 6 })
    const { rows } = await pool.query(
      `select branch, op, start_seq, end_seq, place from postcommit.branch b
join postcommit.global_transaction t on t.id = b.transaction_id where gid = $1 order by place`,
      [gid],
    )
    expect(rows).toEqual([
      { branch: '01', op: 'confirm', start_seq: 2, end_seq: 3, place: 0 },
      { branch: '01', op: 'cancel', start_seq: 2, end_seq: 3, place: 1 },
      { branch: '02', op: 'confirm', start_seq: 4, end_seq: null, place: 2 },
      { branch: '02', op: 'cancel', start_seq: 4, end_seq: null, place: 3 },
    ])
    await submitPrepared(pool, [submission(gid, 'content', 'tcc')])
    expect(await register('03')).toBe(undefined)
  })
})

describe('claims', () => {
  test('of checks: by destination, and not of what runs', async () => {
    const checkDestination = randomUUID()
    const [a, b] = [
      await insertTransaction(pool, { checkDestination, dueInMs: -2 }),
      await insertTransaction(pool, { checkDestination, dueInMs: -1 }),
    ]
    await insertTransaction(pool, { checkDestination, dueInMs: 60_000 })
    const claim = async (free: number) =>
      (await claimChecks(pool, claimOf(relay), [{ destination: checkDestination, free }])).map(({ gid }) => gid)
    expect(await claim(0)).toEqual([])
    expect(await claim(1)).toEqual([a.gid])
    expect(await claim(5)).toEqual([b.gid])
    expect(await claim(5)).toEqual([])
    expect((await submitPrepared(pool, [submission(a.gid)])).size).toBe(1)
  })
})
