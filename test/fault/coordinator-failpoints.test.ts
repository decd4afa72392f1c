import { createRelay, type Relay } from '@postcommit/relay'
import { pino } from 'pino'
import type { Failpoint, TransactionDefinition } from 'postcommit/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { handIn } from '../../relay/coordinator/intake/definition-rows.ts'
import { insertTransactions } from '../../relay/store/transaction/insert-transactions.ts'
import { gidOf, messageTo, sagaOf } from '../support/coordinators.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { type HttpService, httpService } from '../support/http-service.ts'
import { type Program, spawnProgram } from '../support/program.ts'

/** Where a relay dies, and how often it has passed there before. */
const VISITS = {
  'coordinator.after_claim': 1,
  'coordinator.before_call': 12,
  'coordinator.after_response': 12,
  'coordinator.after_record': 2,
  'back_query.after_claim': 1,
  'back_query.after_answer': 5,
  'back_query.after_record': 5,
} as const satisfies Partial<Record<Failpoint, number>>

const OF_EACH = 20

let db: TestDatabase
let service: HttpService
let successor: Relay | undefined

beforeEach(async () => {
  db = await database()
  await db.pool.query('create table effect (gid text, branch text, op text, calls int, primary key (gid, branch, op))')
  service = await httpService(async ({ path, headers, body }, response) => {
    if (path === '/back-query') {
      const question = JSON.parse(body.toString())
      const outcome = String(question.gid).startsWith('lost') ? 'aborted' : 'committed'
      response.writeHead(200).end(JSON.stringify({ gid: question.gid, nonce: question.nonce, outcome }))
      return undefined as never
    }
    const { 'postcommit-gid': gid, 'postcommit-branch': branch, 'postcommit-op': op } = headers
    if (path === '/pay' && String(gid).startsWith('failing')) return 409
    await db.pool.query(
      `insert into effect values ($1, $2, $3, 1) on conflict (gid, branch, op) do update set calls = effect.calls + 1`,
      [gid, branch, op],
    )
    return 200
  })
})
afterEach(async () => {
  await successor?.stop()
  await service[Symbol.asyncDispose]()
  await db.drop()
})

for (const [label, pass] of Object.entries(VISITS)) {
  test(`a relay killed at ${label}: everything is decided, every effect is there, and none too many`, () =>
    killAt(label, pass))
}

async function killAt(label: string, pass: number): Promise<void> {
  await handInSome()
  const victim: Program = await spawnProgram('test/support/fixtures/coordinating-relay.ts', [
    db.url,
    service.url,
    `${label}:kill:${pass}`,
  ])
  expect(await victim.exit).toMatchObject({ signal: 'SIGKILL' })
  successor = createRelay({
    db: db.url,
    destinations: { stock: { url: service.url }, orders: { url: service.url } },
    coordinator: { database: 'main' },
    log: pino({ level: 'silent' }),
  })
  await successor.start()
  await eventually(async () => expect(await unfinished()).toBe(0), { timeoutMs: 20_000 })
  const { rows } = await db.pool.query<{ kind: string; status: string; branch: string; op: string; n: number }>(`
select split_part(t.gid, '-', 1) as kind, t.status, e.branch, e.op, count(*)::int as n
from postcommit.global_transaction t left join effect e using (gid) group by 1, 2, 3, 4 order by 1, 2, 3, 4`)
  expect(rows.map(({ kind, status, branch, op, n }) => [kind, status, branch, op, n])).toEqual([
    ['announced', 'succeed', '1', 'action', OF_EACH],
    ['failing', 'failed', 'order', 'action', OF_EACH],
    ['failing', 'failed', 'order', 'compensate', OF_EACH],
    ['failing', 'failed', 'pay', 'compensate', OF_EACH],
    ['lost', 'failed', null, null, OF_EACH],
    ['message', 'succeed', '1', 'action', OF_EACH],
    ['saga', 'succeed', 'order', 'action', OF_EACH],
    ['saga', 'succeed', 'pay', 'action', OF_EACH],
  ])
  // A crash repeats at most what was under way in the relay that died.
  const calls = await db.pool.query<{ n: number }>('select coalesce(sum(calls - 1), 0)::int as n from effect')
  expect(calls.rows[0]?.n).toBeLessThanOrEqual(64)
}

async function handInSome(): Promise<void> {
  const backQuery = { target: { destination: 'orders', path: '/back-query' }, checkAfterMs: 1 }
  const kinds: [string, TransactionDefinition, 'prepared' | 'submitted'][] = [
    ['message', messageTo(), 'submitted'],
    ['saga', sagaOf(['order', 'pay']), 'submitted'],
    ['failing', sagaOf(['order', 'pay']), 'submitted'],
    ['announced', messageTo({ backQuery }), 'prepared'],
    ['lost', messageTo({ backQuery }), 'prepared'],
  ]
  const all = kinds.flatMap(([kind, definition, status]) =>
    Array.from({ length: OF_EACH }, () =>
      handIn({ tenant: '', gid: gidOf(kind) }, definition, status, { checkAfterMs: 1, deadlineMs: 10_000 }),
    ),
  )
  await insertTransactions(db.pool, all)
}

async function unfinished(): Promise<number> {
  const { rows } = await db.pool.query<{ n: number }>(
    'select count(*)::int as n from postcommit.global_transaction where finished_at is null',
  )
  return rows[0]?.n ?? -1
}
