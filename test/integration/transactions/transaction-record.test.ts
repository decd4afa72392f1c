import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buryRelay } from '../../../relay/store/member/bury-relay.ts'
import { claimChecks } from '../../../relay/store/transaction/claim-checks.ts'
import { claimTransactions } from '../../../relay/store/transaction/claim-transactions.ts'
import { moveTransactions } from '../../../relay/store/transaction/move-transactions.ts'
import { recordProgress } from '../../../relay/store/transaction/record-progress.ts'
import { registerBranches } from '../../../relay/store/transaction/register-branches.ts'
import { releaseTransactions } from '../../../relay/store/transaction/release-transactions.ts'
import { submitPrepared } from '../../../relay/store/transaction/submit-prepared.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { dispatcherSessions, insertTestRelay } from '../../support/deliveries.ts'
import { claimOf, insertTransaction, progressOf, storedTransaction } from '../../support/transactions.ts'

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

async function claim(gid: string, leaseMs = 60_000, by = relay) {
  const one = claimOf(by, leaseMs)
  const claimed = (await claimTransactions(pool, one, 1000)).find((transaction) => transaction.gid === gid)
  return claimed === undefined ? undefined : { claimed, token: one.token }
}

async function claimedNow(gid: string, leaseMs?: number) {
  const found = await claim(gid, leaseMs)
  if (found === undefined) throw new Error(`${gid} was due`)
  return found
}

const running = (given = {}) => insertTransaction(pool, { status: 'submitted', dueInMs: -1, ...given })
const done = { branch: '01', op: 'action', status: 'succeed', calls: 1, attempts: 0 } as const

describe('recordProgress', () => {
  test('one whose claim was taken over writes nothing: neither the outcome nor the decision nor the story', async () => {
    const { gid } = await running()
    const first = await claimedNow(gid, 0)
    const second = await claimedNow(gid)
    const late = { to: 'succeed', operations: [{ ...done, event: 'failed' }], event: 'alarm' } as const
    expect(await recordProgress(pool, relay, [progressOf(first.claimed, first.token, late)])).toEqual(new Set())
    expect(await storedTransaction(pool, gid)).toMatchObject({ status: 'submitted', ops: ['01 action prepared'] })
    const { rows } = await pool.query('select from postcommit.branch_attempt where transaction_id = $1', [
      second.claimed.id,
    ])
    expect(rows).toEqual([])
    const progress = progressOf(second.claimed, second.token, { to: 'succeed', operations: [done] })
    expect((await recordProgress(pool, relay, [progress])).size).toBe(1)
  })

  test('the outcomes of the others are written', async () => {
    const [a, b] = [await running(), await running()]
    const token = claimOf(relay)
    const both = (await claimTransactions(pool, token, 1000)).filter(({ gid }) => gid === a.gid || gid === b.gid)
    await submitPrepared(pool, [])
    await releaseTransactions(pool, [{ id: both[0]?.id ?? '', token: token.token }])
    const progress = both.map((one) => progressOf(one, token.token, { to: 'succeed', operations: [done] }))
    expect(await recordProgress(pool, relay, progress)).toEqual(new Set([both[1]?.id]))
  })

  test('a decision made from what is not so any more is not written', async () => {
    const prepared = await insertTransaction(pool, {
      mode: 'tcc',
      runBy: 'client',
      checkDestination: randomUUID(),
      dueInMs: -1,
      operations: [],
    })
    const token = claimOf(relay)
    const [claimed] = await claimChecks(pool, token, [{ destination: prepared.checkDestination, free: 1 }])
    if (claimed === undefined) throw new Error('it was due')
    const operations = [{ branch: '01', op: 'cancel', target: '' }]
    await registerBranches(pool, [{ ...prepared, operations, ended: [] }])
    const given = { to: 'aborting', rollbackReason: 'too late', dueAtMs: claimed.nowMs } as const
    expect((await recordProgress(pool, relay, [progressOf(claimed, token.token, given)])).size).toBe(0)
    const seen = { ...claimed, opCount: 1, seq: 2 }
    expect((await recordProgress(pool, relay, [progressOf(seen, token.token, given)])).size).toBe(1)
    expect(await storedTransaction(pool, prepared.gid)).toMatchObject({ status: 'aborting', op_count: 1 })
  })

  test('a claim goes on until it is said to end', async () => {
    const { gid } = await running()
    const { claimed, token } = await claimedNow(gid)
    const begun = { ...done, status: 'prepared', startSeq: 1, leaseUntilMs: claimed.nowMs + 5000 } as const
    await recordProgress(pool, relay, [progressOf(claimed, token, { seq: 1, operations: [begun] })])
    expect(await storedTransaction(pool, gid)).toMatchObject({ lease_token: token, seq: 1 })
    const later = { seq: 2, dueAtMs: claimed.nowMs + 30_000, backoffMs: 30_000 }
    const failed = { ...begun, startSeq: undefined, leaseUntilMs: undefined, attempts: 1, dueAtMs: later.dueAtMs }
    await recordProgress(pool, relay, [progressOf(claimed, token, { ...later, operations: [failed] })])
    const stored = await storedTransaction(pool, gid)
    expect(stored.lease_token).toBe(null)
    expect(Math.round(stored.due_ms / 1000)).toBe(30)
    await pool.query('update postcommit.global_transaction set due_at = now() where gid = $1', [gid])
    const again = await claimedNow(gid)
    expect(again.claimed).toMatchObject({ seq: 2, backoffMs: 30_000 })
    expect(again.claimed.operations).toMatchObject([
      { startSeq: 1, calls: 1, attempts: 1, leaseUntilMs: null, dueAtMs: expect.closeTo(later.dueAtMs, -1) },
    ])
  })

  test('the first outcome of an op stands', async () => {
    const { gid } = await running({ operations: ['01', '02'].map((branch) => ({ branch, op: 'action', target: '' })) })
    const { claimed, token } = await claimedNow(gid)
    const record = (status: 'succeed' | 'failed') =>
      recordProgress(pool, relay, [progressOf(claimed, token, { operations: [{ ...done, status }] })])
    await record('failed')
    await record('succeed')
    expect((await storedTransaction(pool, gid)).ops).toEqual(['01 action failed', '02 action prepared'])
  })

  test('branches that turned out when the topic was read', async () => {
    const { gid } = await running({ operations: [{ branch: '01', op: 'action', target: 'topic://orders' }] })
    const { claimed, token } = await claimedNow(gid)
    const added = ['01-01', '01-02'].map((branch) => ({ branch, op: 'action', target: branch, payload: '1' }))
    const progress = progressOf(claimed, token, { operations: [done], added })
    expect((await recordProgress(pool, relay, [progress])).size).toBe(1)
    expect((await recordProgress(pool, relay, [progress])).size).toBe(0)
    expect(await storedTransaction(pool, gid)).toMatchObject({
      op_count: 3,
      ops: ['01 action succeed', '01-01 action prepared', '01-02 action prepared'],
    })
  })
})

describe('claims', () => {
  test('two relays share what is due, none gets what the other has', async () => {
    const gids = new Set<string>()
    for (let n = 0; n < 40; n += 1) gids.add((await running()).gid)
    const claims = await Promise.all(Array.from({ length: 8 }, () => claimTransactions(pool, claimOf(relay), 10)))
    const got = claims.flat().filter(({ gid }) => gids.has(gid))
    expect(new Set(got.map(({ gid }) => gid)).size).toBe(got.length)
  })

  test('a message behind an unsettled one of its key says so, whoever is in front', async () => {
    const tenant = randomUUID()
    const head = await insertTransaction(pool, { tenant, key: 'k' })
    const next = await running({ tenant, key: 'k' })
    const free = await running({ tenant, key: 'other' })
    const one = claimOf(relay)
    const claimed = await claimTransactions(pool, one, 1000)
    const behind = (gid: string) => claimed.find((transaction) => transaction.gid === gid)?.behind
    expect(behind(next.gid)).toBe(head.gid)
    expect(behind(free.gid)).toBe(null)
    const abort = { tenant, gid: head.gid, event: 'abort' }
    await moveTransactions(pool, [abort], [{ event: 'abort', mode: 'msg', from: 'prepared', to: 'failed' }])
    await releaseTransactions(
      pool,
      claimed.map(({ id }) => ({ id, token: one.token })),
    )
    expect((await claimedNow(next.gid)).claimed.behind).toBe(null)
  })

  test('those of a buried relay are due at once, and it writes and claims nothing more', async () => {
    const dead = await insertTestRelay(pool)
    const { gid } = await running()
    const { checkDestination, gid: prepared } = await insertTransaction(pool, {
      checkDestination: randomUUID(),
      dueInMs: -1,
    })
    const slots = [{ destination: checkDestination, free: 1 }]
    const claimed = await claim(gid, 600_000, dead)
    if (claimed === undefined) throw new Error(`${gid} was due`)
    expect(await claimChecks(pool, claimOf(dead, 600_000), slots)).toHaveLength(1)
    expect((await buryRelay(pool, dead)).transactions).toBeGreaterThanOrEqual(2)
    const progress = progressOf(claimed.claimed, claimed.token, { to: 'succeed', operations: [done] })
    expect((await recordProgress(pool, dead, [progress])).size).toBe(0)
    expect(await claimTransactions(pool, claimOf(dead), 10)).toEqual([])
    expect(await claim(gid)).toBeDefined()
    expect((await claimChecks(pool, claimOf(relay), slots)).map((one) => one.gid)).toEqual([prepared])
  })

  test('submitted under a claim to ask: what the question brings is not written', async () => {
    const { checkDestination, gid } = await insertTransaction(pool, { checkDestination: randomUUID(), dueInMs: -1 })
    const asked = claimOf(relay)
    const [prepared] = await claimChecks(pool, asked, [{ destination: checkDestination, free: 1 }])
    if (prepared === undefined) throw new Error('it was due')
    await submitPrepared(pool, [{ tenant: '', gid, mode: 'msg', digest: 'content', dueInMs: 0, claim: claimOf(relay) }])
    const rolledBack = progressOf(prepared, asked.token, { to: 'failed', dueAtMs: prepared.nowMs })
    expect((await recordProgress(pool, relay, [rolledBack])).size).toBe(0)
    expect((await storedTransaction(pool, gid)).status).toBe('submitted')
  })
})
