import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Answer, Intake } from '../../../relay/coordinator/intake/intake.ts'
import { decide } from '../../../relay/engine/transaction/decide.ts'
import type { Decision, TransactionEvent } from '../../../relay/engine/transaction/event.ts'
import type { Mode, Status } from '../../../relay/engine/transaction/transaction.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { dispatcherSessions } from '../../support/deliveries.ts'
import { storedTransaction, transaction } from '../../support/transactions.ts'

let db: TestDatabase
let pools: readonly pg.Pool[]
/** Two relays on one database. */
let relays: readonly Intake[]

beforeAll(async () => {
  db = await database()
  pools = [0, 1].map(() => new pg.Pool(dispatcherSessions(db.url)))
  relays = pools.map((pool) => new Intake(pool, { refusal: () => new Error('full'), handOver: async () => 'nothing' }))
})
afterAll(async () => {
  for (const pool of pools) await pool.end()
  await db.drop()
})

type Kind = 'prepare' | 'submit' | 'submit-prepared' | 'abort'
interface Request {
  readonly kind: Kind
  readonly gid: string
  readonly mode: Mode
  readonly digest: string
}

function send(relay: Intake | undefined, { kind, gid, mode, digest }: Request): Promise<Answer> {
  if (relay === undefined) throw new Error('there is no such relay')
  const runBy = mode === 'msg' || mode === 'saga' ? 'relay' : 'client'
  const content = transaction({ gid, mode, digest, runBy })
  const submission = { tenant: '', gid, mode, digest, dueInMs: 0 }
  switch (kind) {
    case 'prepare':
      return relay.prepare(content)
    case 'submit':
      return relay.submit({ ...submission, content: { ...content, status: 'submitted' } })
    case 'submit-prepared':
      return relay.submit(submission)
    case 'abort':
      return relay.abort({ tenant: '', gid, reason: 'asked to' })
  }
}

function expected(request: Request, status: Status | 'none', stored: Pick<Request, 'mode' | 'digest'>): Decision {
  const { kind, mode, digest } = request
  const subject = status === 'none' ? { status } : { status, ...stored, mayTurnBack: false }
  if (kind === 'submit-prepared' && status === 'none') return { kind: 'not-found' }
  const event: TransactionEvent =
    kind === 'abort' ? { kind, reason: 'asked to' } : { kind: kind === 'prepare' ? 'prepare' : 'submit', mode, digest }
  return decide(event, subject)
}

/** What a gid went through: the requests that moved it, in the only order in which they can have. */
function pathOf(moves: readonly Answer[]): (Status | 'none')[] {
  const order: readonly (Status | undefined)[] = ['prepared', 'submitted', 'aborting', 'failed']
  const statuses = moves.flatMap(({ status }) => status ?? [])
  return ['none', ...statuses.toSorted((a, b) => order.indexOf(a) - order.indexOf(b))]
}

const request = fc.record({
  kind: fc.constantFrom<Kind[]>('prepare', 'submit', 'submit-prepared', 'abort'),
  gid: fc.constantFrom('a', 'b', 'c'),
  mode: fc.constantFrom<Mode[]>('msg', 'msg', 'msg', 'saga', 'tcc'),
  digest: fc.constantFrom('same', 'same', 'same', 'other'),
  relay: fc.nat({ max: 1 }),
  /** Requests of one wave are under way at once; 0: together with the one before. */
  wave: fc.nat({ max: 1 }),
})

describe('whatever two relays are asked at once', () => {
  test('each transaction moves along its table, once a step, and everybody is told what is so', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 2, maxLength: 40 }), async (history) => {
        const run = randomUUID()
        const answers: { readonly request: Request; readonly answer: Answer }[] = []
        let wave: Promise<unknown>[] = []
        for (const { relay, wave: next, ...one } of history) {
          if (next === 1 && wave.length > 8) await Promise.all(wave.splice(0))
          const named = { ...one, gid: `${run}-${one.gid}` }
          wave.push(send(relays[relay], named).then((answer) => answers.push({ request: named, answer })))
        }
        await Promise.all(wave)
        wave = []
        for (const gid of new Set(answers.map((one) => one.request.gid))) {
          await check(
            gid,
            answers.filter((one) => one.request.gid === gid),
          )
        }
      }),
      { numRuns: 150 },
    )
  })

  test('a hundred submits and aborts of one prepared message: one decision', async () => {
    for (let round = 0; round < 10; round += 1) {
      const gid = randomUUID()
      const one = { gid, mode: 'msg', digest: 'same' } as const
      await send(relays[0], { ...one, kind: 'prepare' })
      const kinds = Array.from({ length: 100 }, (_, n) =>
        n % 2 === 0 ? ('abort' as const) : ('submit-prepared' as const),
      )
      const answers = await Promise.all(kinds.map((kind, n) => send(relays[Math.floor(n / 2) % 2], { ...one, kind })))
      const winners = answers.flatMap(({ decision }, n) => (decision.kind === 'ok' ? kinds[n] : []))
      expect(winners).toHaveLength(1)
      const { status } = await storedTransaction(db.pool, gid)
      expect(status).toBe(winners[0] === 'abort' ? 'failed' : 'submitted')
      for (const [n, { decision }] of answers.entries()) {
        if (decision.kind === 'ok') continue
        const same = kinds[n] === winners[0]
        const refused = { kind: 'conflict', code: winners[0] === 'abort' ? 'failed' : 'decided' }
        expect(decision).toEqual(same ? { kind: 'duplicate' } : refused)
      }
    }
  })
})

async function check(gid: string, all: readonly { readonly request: Request; readonly answer: Answer }[]) {
  const moves = all.filter(({ answer }) => answer.decision.kind === 'ok')
  const path = pathOf(moves.map(({ answer }) => answer))
  // One decision: no status twice, and never both ways.
  expect(new Set(path).size).toBe(path.length)
  expect(path.includes('submitted') && (path.includes('failed') || path.includes('aborting'))).toBe(false)
  const creator = moves.find(({ answer }) => answer.status === path[1])?.request
  if (creator === undefined) {
    for (const { answer } of all) expect(answer.decision).toEqual({ kind: 'not-found' })
    return
  }
  const stored = await storedTransaction(db.pool, gid)
  expect(stored.status).toBe(path.at(-1))
  expect(stored.ops).toEqual(['01 action prepared'])
  for (const { request, answer } of all) {
    const legal = path.map((status) => expected(request, status, creator))
    const kinds = legal.map(({ kind, ...rest }) =>
      JSON.stringify({ kind, ...('code' in rest ? { code: rest.code } : {}) }),
    )
    const { kind } = answer.decision
    expect(kinds).toContain(JSON.stringify(answer.decision.kind === 'conflict' ? answer.decision : { kind }))
  }
}

describe('one poisoned request', () => {
  test.each([
    ['text that PostgreSQL cannot store', { customData: 'a\0b' }],
    ['a gid that no index takes', { gid: Array.from({ length: 300 }, () => randomUUID()).join('') }],
    ['a mode that there is not', { mode: 'none' as Mode }],
    ['two branches of one name', { operations: [0, 1].map(() => ({ branch: '01', op: 'action', target: '' })) }],
  ])('%s fails alone', async (_, poison) => {
    const relay = relays[0]
    if (relay === undefined) throw new Error('there is no relay')
    const good = Array.from({ length: 50 }, () => transaction())
    const bad = transaction(poison)
    const [settled, ...rest] = await Promise.allSettled([bad, ...good].map((one) => relay.prepare(one)))
    expect(settled?.status).toBe('rejected')
    expect(rest.map((one) => one.status === 'fulfilled' && one.value.decision.kind)).toEqual(good.map(() => 'ok'))
    for (const { gid } of good) expect((await storedTransaction(db.pool, gid)).status).toBe('prepared')
  })
})

describe('registrations', () => {
  test('a branch that arrives with the decision is before it or refused', async () => {
    const [one, other] = relays
    if (one === undefined || other === undefined) throw new Error('there are two relays')
    for (let round = 0; round < 20; round += 1) {
      const gid = randomUUID()
      await one.prepare(transaction({ gid, mode: 'tcc', runBy: 'client', operations: [] }))
      const register = (branch: string) =>
        other.register({
          tenant: '',
          gid,
          mode: 'tcc',
          operations: ['confirm', 'cancel'].map((op) => ({ branch, op, target: op })),
          ended: [],
        })
      const racing = Array.from({ length: 10 }, (_, n) => register(`0${n}`))
      const aborted = await one.abort({ tenant: '', gid, reason: 'time is up' })
      const answers = await Promise.all(racing)
      expect(aborted).toMatchObject({ decision: { kind: 'ok' }, status: 'aborting' })
      const taken = answers.filter(({ decision }) => decision.kind === 'ok')
      for (const { decision } of answers) {
        if (decision.kind !== 'ok') expect(decision).toEqual({ kind: 'conflict', code: 'not-prepared' })
      }
      const stored = await storedTransaction(db.pool, gid)
      expect(stored.ops).toHaveLength(2 * taken.length)
      expect(stored.op_count).toBe(2 * taken.length)
      const starts = taken.map(({ registered }) => registered?.startSeq)
      expect(new Set(starts).size).toBe(taken.length)
    }
  })

  test('not in a message, and not as another mode', async () => {
    const [relay] = relays
    const { gid } = transaction()
    await relay?.prepare(transaction({ gid }))
    const operations = [{ branch: '02', op: 'action', target: '' }]
    const as = async (mode: Mode) => (await relay?.register({ tenant: '', gid, mode, operations, ended: [] }))?.decision
    expect(await as('msg')).toEqual({ kind: 'conflict', code: 'other-mode' })
    expect(await as('tcc')).toEqual({ kind: 'conflict', code: 'other-mode' })
  })
})
