/** What seadt promises, of the relay: sagas from its JSON, and the order in which parallel sagas are undone. */
import type { BarrierResult } from 'postcommit/barrier'
import { barrierFrom } from 'postcommit/barrier'
import { readSeadt } from 'postcommit/transactions'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { gidOf, sagaOf, type TestCoordinator, testCoordinator } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { impatient } from '../../support/dispatchers.ts'
import { eventually } from '../../support/eventually.ts'
import { type Answer, type HttpService, httpService } from '../../support/http-service.ts'

let db: TestDatabase
let service: HttpService
let relay: TestCoordinator
let answer: Answer

beforeEach(async () => {
  db = await database()
  answer = () => 200
  service = await httpService((...call) => answer(...call))
  relay = await testCoordinator(db.url, [impatient('trade', service.url), impatient('stock', service.url)])
})
afterEach(async () => {
  await relay.end()
  await service[Symbol.asyncDispose]()
  await db.drop()
})

describe('D1: a saga from the JSON of seadt', () => {
  const BIZ_TRANS = `{ "seadt_name": "BizTrans", "tx_seq": [
    { "sub_tx_id": "UseQuota", "commit_method": "/Module_Name/UseQuota", "callback_method": "/Module_Name/UnUseQuota",
      "pre_step": "Start", "next_step": "UseCoupon" },
    { "sub_tx_id": "UseCoupon", "commit_method": "/Module_Name/UseCoupon", "callback_method": "/Module_Name/UnUseCoupon",
      "pre_step": "UseQuota", "next_step": "End" } ] }`

  /** Takes from a quota of 100 and uses one of so many coupons; what each call came to, in turn. */
  async function trade(coupons: number) {
    await db.pool.query(`create table account (name text primary key, n int not null check (n >= 0))`)
    await db.pool.query(`insert into account values ('quota', 100), ('coupon', $1)`, [coupons])
    const story: string[] = []
    answer = async (call) => {
      const path = call.path.slice('/Module_Name/'.length)
      const { amount } = JSON.parse(call.body.toString()) as { amount: number }
      const name = path.endsWith('Quota') ? 'quota' : 'coupon'
      const by = (path.startsWith('Un') ? 1 : -1) * (name === 'quota' ? amount : 1)
      const move = 'update account set n = n + $2 where name = $1 and n + $2 >= 0'
      try {
        const result: BarrierResult<void> = await barrierFrom(call).call(db.pool, async (tx) => {
          if ((await tx.query(move, [name, by])).rowCount === 0) throw new Error('not enough')
        })
        story.push(`${path} ${result.skipped === false ? 'done' : result.skipped}`)
        return 200
      } catch {
        story.push(`${path} refused`)
        return 409
      }
    }
    const transaction = readSeadt(BIZ_TRANS, { methods: 'trade', data: () => ({ amount: 30 }) })
    const told = await relay.perform({ do: 'submit', gid: gidOf('biz'), transaction, waitMs: 20_000 })
    const { rows } = await db.pool.query('select name, n from account order by name')
    return { outcome: told.outcome, story, accounts: Object.fromEntries(rows.map(({ name, n }) => [name, n])) }
  }

  test('uses the quota, then the coupon', async () => {
    expect(await trade(1)).toEqual({
      outcome: 'done',
      story: ['UseQuota done', 'UseCoupon done'],
      accounts: { quota: 70, coupon: 0 },
    })
  })

  test('without a coupon there is none to take back, and the quota is', async () => {
    expect(await trade(0)).toEqual({
      outcome: 'failed',
      story: ['UseQuota done', 'UseCoupon refused', 'UnUseCoupon empty', 'UnUseQuota done'],
      accounts: { quota: 100, coupon: 0 },
    })
  })
})

describe('D7: A beside B and then C, with D inside of B, is undone in the reverse of what happened before what', () => {
  const NAMES = ['a', 'b', 'b.d', 'c']

  /**
   * Runs it with everything at once that can be: D begins and B does not end before, C begins after B has ended while D
   * and A are still at it. The last step waits for all of them and fails. An answer waits for what `after` says.
   *
   * @returns what was undone, each with its begin and its end, in the order in which it was
   */
  async function undo(after: Readonly<Record<string, readonly string[]>>): Promise<readonly string[]> {
    const seen: string[] = []
    const waits: Readonly<Record<string, readonly string[]>> = {
      '/b': ['begin /b.d'],
      '/b.d': ['begin /c'],
      '/a': ['begin /c'],
      ...after,
    }
    answer = async ({ path }) => {
      seen.push(`begin ${path}`)
      await eventually(() => expect(seen).toEqual(expect.arrayContaining([...(waits[path] ?? [])])), {
        timeoutMs: 15_000,
      })
      seen.push(`end ${path}`)
      return path === '/last' ? 409 : 200
    }
    const steps = [
      { name: 'a', after: [] },
      { name: 'b', after: [] },
      { name: 'b.d', after: [] },
      { name: 'c', after: ['b'] },
      { name: 'last', after: NAMES },
    ]
    const transaction = sagaOf(steps, { requestTimeoutMs: 20_000 })
    const told = await relay.perform({ do: 'submit', gid: gidOf('forked'), transaction, waitMs: 40_000 })
    expect(told).toMatchObject({ outcome: 'failed' })
    const at = (event: string) => seen.indexOf(event)
    expect(at('end /undo-c')).toBeLessThan(at('begin /undo-b'))
    expect(at('end /undo-b.d')).toBeLessThan(at('begin /undo-b'))
    for (const name of NAMES) expect(at('end /undo-last')).toBeLessThan(at(`begin /undo-${name}`))
    return seen.filter((event) => event.includes('/undo'))
  }

  test('C and D before B', async () => {
    expect(await undo({})).toHaveLength(10)
  })

  test('nobody waits for A: B is being undone, and A is not done yet', async () => {
    await undo({ '/undo-a': ['begin /undo-b'] })
  })

  test('A waits for nobody, and C and D are undone side by side', async () => {
    await undo({ '/undo-c': ['end /undo-a', 'begin /undo-b.d'], '/undo-b.d': ['end /undo-a', 'begin /undo-c'] })
  })
})
