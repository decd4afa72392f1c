import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { gidOf, sagaOf, type TestCoordinator, testCoordinator } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { impatient } from '../../support/dispatchers.ts'
import { eventually } from '../../support/eventually.ts'
import { type HttpService, httpService } from '../../support/http-service.ts'
import { storedTransaction } from '../../support/transactions.ts'

let db: TestDatabase
let stock: HttpService
let answers: Map<string, (number | { readonly afterMs: number; readonly status: number })[]>
let relay: TestCoordinator

beforeEach(async () => {
  db = await database()
  answers = new Map()
  stock = await httpService(async ({ path }) => {
    const answer = answers.get(path)?.shift() ?? 200
    if (typeof answer === 'number') return answer
    await sleep(answer.afterMs)
    return answer.status
  })
  relay = await testCoordinator(db.url, [impatient('stock', stock.url)])
})
afterEach(async () => {
  await relay.end()
  await stock[Symbol.asyncDispose]()
  await db.drop()
})

const paths = () => stock.calls.map(({ path }) => path)
const run = async (transaction: ReturnType<typeof sagaOf>) => {
  const gid = gidOf('saga')
  return { gid, answer: await relay.perform({ do: 'submit', gid, transaction, waitMs: 10_000 }) }
}

describe('a saga', () => {
  test('of steps one after the other', async () => {
    const { answer, gid } = await run(sagaOf(['order', 'stock', 'pay']))
    expect(answer).toMatchObject({ outcome: 'done' })
    expect(paths()).toEqual(['/order', '/stock', '/pay'])
    expect((await storedTransaction(db.pool, gid)).seq).toBe(6)
  })

  test('is undone in the reverse of the order in which it was done', async () => {
    answers.set('/pay', [409])
    const { answer, gid } = await run(sagaOf(['order', 'stock', 'pay', 'ship']))
    expect(answer).toEqual({ outcome: 'failed', gid, status: 'failed', reason: 'branch pay failed' })
    // The step that failed too: its compensation closes the door on whatever of it may still arrive.
    expect(paths()).toEqual(['/order', '/stock', '/pay', '/undo-pay', '/undo-stock', '/undo-order'])
  })

  test('repeats what gives no decision, calls again what is still at it, and undoes until it is undone', async () => {
    answers.set('/order', [500, 425])
    answers.set('/stock', [503, 409])
    answers.set('/undo-order', [500, 409, 425])
    const { answer } = await run(sagaOf(['order', 'stock']))
    expect(answer).toMatchObject({ outcome: 'failed' })
    expect(paths().filter((path) => path === '/order')).toHaveLength(3)
    expect(paths().filter((path) => path === '/undo-order')).toHaveLength(4)
  })

  test('is given up after its retry limit', async () => {
    answers.set('/stock', [500, 500, 500, 500])
    const { answer } = await run(sagaOf(['order', 'stock'], { retry: { baseMs: 5, capMs: 10 }, retryLimit: 2 }))
    expect(answer).toMatchObject({ outcome: 'failed', reason: 'branch stock failed more than 2 times' })
    expect(paths()).toEqual(['/order', '/stock', '/stock', '/stock', '/undo-stock', '/undo-order'])
  })

  test('is given up at its time limit', async () => {
    answers.set(
      '/stock',
      Array.from({ length: 1000 }, () => 425),
    )
    const { answer } = await run(sagaOf(['order', 'stock'], { timeoutMs: 400, retry: { baseMs: 20, capMs: 50 } }))
    expect(answer).toMatchObject({ outcome: 'failed', reason: 'the time limit has passed' })
    expect(paths().slice(-2)).toEqual(['/undo-stock', '/undo-order'])
  })

  test('of concurrent steps starts all of them, and undoes side by side', async () => {
    answers.set('/a', [{ afterMs: 150, status: 200 }])
    answers.set('/b', [{ afterMs: 150, status: 200 }])
    answers.set('/c', [{ afterMs: 50, status: 409 }])
    answers.set('/undo-a', [{ afterMs: 300, status: 200 }])
    const { answer } = await run(sagaOf(['a', 'b', 'c'], { concurrent: true }))
    expect(answer).toMatchObject({ outcome: 'failed' })
    expect(paths().slice(0, 3).sort()).toEqual(['/a', '/b', '/c'])
    const at = (path: string) => stock.calls.find((call) => call.path === path)?.at ?? Number.NaN
    expect(Math.abs(at('/undo-a') - at('/undo-b'))).toBeLessThan(150)
  })

  test('of steps that name what they wait for', async () => {
    answers.set('/b', [{ afterMs: 100, status: 200 }])
    answers.set('/d', [409])
    const steps = ['a', { name: 'b', after: ['a'] }, { name: 'c', after: ['a'] }, { name: 'd', after: ['b', 'c'] }]
    const { answer } = await run(sagaOf(steps))
    expect(answer).toMatchObject({ outcome: 'failed' })
    const order = paths()
    const comesFirst = (one: string, other: string) => expect(order.indexOf(one)).toBeLessThan(order.indexOf(other))
    comesFirst('/a', '/b')
    comesFirst('/c', '/d')
    comesFirst('/b', '/d')
    comesFirst('/undo-b', '/undo-a')
    comesFirst('/undo-c', '/undo-a')
    comesFirst('/undo-d', '/undo-b')
  })

  test('a step that may have happened is undone, one that was not begun is not', async () => {
    answers.set('/stock', [{ afterMs: 2500, status: 200 }])
    const { answer } = await run(sagaOf(['order', 'stock', 'pay'], { timeoutMs: 500 }))
    expect(answer).toMatchObject({ outcome: 'failed' })
    expect(paths()).toEqual(['/order', '/stock', '/undo-stock', '/undo-order'])
  })

  test('its begin is written before its first call', async () => {
    answers.set('/order', [{ afterMs: 300, status: 200 }])
    const gid = gidOf('saga')
    await relay.perform({ do: 'submit', gid, transaction: sagaOf(['order']) })
    await eventually(() => expect(paths()).toEqual(['/order']))
    const { rows } = await db.pool.query(`select start_seq, calls, lease_until > clock_timestamp() as leased
from postcommit.branch where op = 'action'`)
    expect(rows).toEqual([{ start_seq: 1, calls: 1, leased: true }])
    await eventually(async () => expect((await storedTransaction(db.pool, gid)).status).toBe('succeed'))
  })
})
