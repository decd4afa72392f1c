import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Answer, Intake } from '../../../relay/coordinator/intake/intake.ts'
import type { Mode, Status } from '../../../relay/engine/transaction/transaction.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { dispatcherSessions } from '../../support/deliveries.ts'
import { storedTransaction, transaction } from '../../support/transactions.ts'

let db: TestDatabase
let pool: pg.Pool
let relay: Intake

beforeAll(async () => {
  db = await database()
  pool = new pg.Pool(dispatcherSessions(db.url))
  relay = new Intake(pool, { refusal: () => new Error('full'), handOver: async () => 'nothing' })
})
afterAll(async () => {
  await pool.end()
  await db.drop()
})

type Column = 'none' | Status
const COLUMNS: readonly Column[] = ['none', 'prepared', 'submitted', 'aborting', 'succeed', 'failed']
const DECIDED = 'conflict decided'
const FAILED = 'conflict failed'
const LATE = 'conflict not-prepared'

/** What a client is answered, and in which status the transaction is then, if it was moved. */
const ROWS: readonly (readonly [string, Mode, 'relay' | 'client', readonly string[]])[] = [
  ['prepare', 'msg', 'relay', ['prepared', 'duplicate', DECIDED, FAILED, DECIDED, FAILED]],
  ['prepare other', 'msg', 'relay', ['prepared', 'conflict other-content', DECIDED, FAILED, DECIDED, FAILED]],
  ['submit', 'msg', 'relay', ['submitted', 'submitted', 'duplicate', FAILED, 'duplicate', FAILED]],
  ['submit', 'saga', 'relay', ['submitted', 'submitted', 'duplicate', FAILED, 'duplicate', FAILED]],
  ['submit', 'tcc', 'client', ['not-found', 'submitted', 'duplicate', FAILED, 'duplicate', FAILED]],
  ['submit', 'xa', 'client', ['not-found', 'submitted', 'duplicate', FAILED, 'duplicate', FAILED]],
  ['submit', 'workflow', 'client', ['not-found', 'submitted', 'duplicate', FAILED, 'duplicate', FAILED]],
  ['submit', 'saga', 'client', ['not-found', 'submitted', 'duplicate', FAILED, 'duplicate', FAILED]],
  [
    'submit other',
    'msg',
    'relay',
    ['submitted', 'conflict other-content', 'conflict other-content', FAILED, 'conflict other-content', FAILED],
  ],
  ['abort', 'msg', 'relay', ['not-found', 'failed', DECIDED, 'duplicate', DECIDED, 'duplicate']],
  ['abort', 'saga', 'relay', ['not-found', 'aborting', DECIDED, 'duplicate', DECIDED, 'duplicate']],
  ['abort', 'tcc', 'client', ['not-found', 'aborting', DECIDED, 'duplicate', DECIDED, 'duplicate']],
  ['abort', 'xa', 'client', ['not-found', 'aborting', DECIDED, 'duplicate', DECIDED, 'duplicate']],
  ['abort', 'workflow', 'client', ['not-found', 'aborting', DECIDED, 'duplicate', DECIDED, 'duplicate']],
  ['register', 'tcc', 'client', ['not-found', 'ok', LATE, LATE, LATE, LATE]],
  ['register', 'saga', 'client', ['not-found', 'ok', LATE, LATE, LATE, LATE]],
]

async function stand(status: Column, mode: Mode, runBy: 'relay' | 'client'): Promise<string> {
  const one = transaction({ mode, runBy })
  if (status === 'none') return one.gid
  await relay.prepare(one)
  await pool.query(
    `update postcommit.global_transaction
set status = $2, finished_at = case when $2 in ('succeed', 'failed') then clock_timestamp() end where gid = $1`,
    [one.gid, status],
  )
  return one.gid
}

function request(event: string, gid: string, mode: Mode, runBy: 'relay' | 'client'): Promise<Answer> {
  const digest = event.endsWith('other') ? 'other' : 'content'
  const content = transaction({ gid, mode, runBy, digest, operations: [] })
  const submission = { tenant: '', gid, mode, digest, dueInMs: 0 }
  switch (event.split(' ')[0]) {
    case 'prepare':
      return relay.prepare(content)
    case 'submit':
      return relay.submit({ ...submission, content: { ...content, status: 'submitted' } })
    case 'abort':
      return relay.abort({ tenant: '', gid, reason: 'asked to' })
    default: {
      const operations = [{ branch: randomUUID(), op: 'compensate', target: '' }]
      return relay.register({ tenant: '', gid, mode, operations, ended: [] })
    }
  }
}

describe.each(ROWS)('%s of a %s run by the %s', (event, mode, runBy, answers) => {
  test.each(COLUMNS.map((status, index) => [status, answers[index]] as const))('%s: %s', async (status, expected) => {
    const gid = await stand(status, mode, runBy)
    const { decision, status: told } = await request(event, gid, mode, runBy)
    const moved = decision.kind === 'ok' && event !== 'register' ? told : decision.kind
    expect('code' in decision ? `${decision.kind} ${decision.code}` : moved).toBe(expected)
    if (told === undefined) {
      await expect(storedTransaction(pool, gid)).rejects.toThrow('there is no')
      return
    }
    const stored = await storedTransaction(pool, gid)
    expect(stored.status).toBe(decision.kind === 'ok' ? told : status)
    expect(stored.finished).toBe(stored.status === 'succeed' || stored.status === 'failed')
  })
})
