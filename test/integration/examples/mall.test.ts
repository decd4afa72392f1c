import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { MALL_DATABASES, type OrderAnswer, type TestMall, testMall } from '../../support/test-mall.ts'

/**
 * The order saga of the go-zero tutorial "mall", row for row, against the services of `examples/03-mall`, each a process
 * of its own, and a relay as users run it.
 *
 * Its rows are DTM's; this is where they are here:
 * - `barrier.trans_type`: nowhere in the barrier. The mode is of the transaction, `global_transaction.mode`.
 * - `barrier.branch_id` `01` and `02`: `branch`, the names of the steps, `order` and `stock`.
 * - `barrier.op`, `barrier_id`, `reason`: the same names, the same words. `create_time`: `created_at`.
 * - The status of the transaction and of its ops: the same words, at `GET /v1/transactions/<gid>`.
 *
 * `order action 01/action` reads: branch, op, barrier_id, and by which op the row was written.
 */
describe.each(MALL_DATABASES)('the mall on %s', { timeout: 180_000 }, (kept) => {
  let mall: TestMall
  /** The same in the order in which they are told. */
  let ended: { normal: string; soldOut: string; afterCommit: string }

  beforeAll(async () => {
    mall = await testMall(kept)
    ended = { normal: '', soldOut: '', afterCommit: '' }
  })
  afterAll(() => mall.close())
  beforeEach(() => {
    for (const crossing of Object.values(mall.crossings)) {
      crossing.copies = 1
      crossing.before = () => undefined
    }
  })

  const stock = async () => (await mall.books.product(1)).stock
  const orderOf = async (gid: string) => (await mall.books.orders()).find((row) => row.gid === gid)
  const callsOf = async (gid: string) => (await mall.books.calls(gid)).map(({ call }) => call)
  const done = ({ body: { gid } }: OrderAnswer) => ({ status: 200, body: { gid, outcome: 'done' } })
  const failed = ({ body: { gid } }: OrderAnswer, why: string) => ({
    status: 409,
    body: { gid, outcome: 'failed', reason: `branch ${why}` },
  })

  const BOTH_DONE = ['order action 01/action', 'stock action 01/action']
  const UNDONE_BEFORE_STOCK = [
    'order action 01/action',
    'order compensate 01/compensate',
    'stock action 01/compensate',
    'stock compensate 01/compensate',
  ]
  const BOTH_UNDONE = [
    'order action 01/action',
    'order compensate 01/compensate',
    'stock action 01/action',
    'stock compensate 01/compensate',
  ]
  const OPS_FAILED = [
    'order action succeed',
    'order compensate succeed',
    'stock action failed',
    'stock compensate succeed',
  ]

  test('M1 an order, while there is stock', async () => {
    await mall.books.restock(1, 1)
    const answer = await mall.order(1)
    const { gid } = answer.body
    ended.normal = gid
    expect(answer).toEqual(done(answer))
    expect(await mall.books.orders()).toEqual([{ id: 1, gid, uid: 1, status: 0 }])
    expect(await stock()).toBe(0)
    expect(await mall.books.barrier(gid)).toEqual(BOTH_DONE)
    expect(await mall.books.saga(gid)).toEqual({
      status: 'succeed',
      ops: ['order action succeed', 'order compensate prepared', 'stock action succeed', 'stock compensate prepared'],
    })
  })

  test('M2 failure 1: nothing is left; the undo of what was rolled back finds nothing to undo', async () => {
    const answer = await mall.order(1)
    const { gid } = answer.body
    ended.soldOut = gid
    expect(answer).toEqual(failed(answer, 'stock failed: product 1 is sold out'))
    expect(await orderOf(gid)).toEqual({ id: 2, gid, uid: 1, status: 9 })
    expect(await stock()).toBe(0)
    expect(await mall.books.barrier(gid)).toEqual(UNDONE_BEFORE_STOCK)
    expect(await mall.books.saga(gid)).toEqual({ status: 'failed', ops: OPS_FAILED })
    const results = Object.fromEntries((await mall.books.calls(gid)).map(({ call, result }) => [call, result]))
    expect(results).toMatchObject({ DecrStockRevert: 'empty', CreateRevert: 'done' })
  })

  test('M3 failure 2: a Failure after the commit is undone', async () => {
    await mall.books.restock(1, 100)
    const { updated } = await mall.books.product(1)
    await mall.mishap('refuse')
    const answer = await mall.order(1)
    const { gid } = answer.body
    ended.afterCommit = gid
    expect(answer).toEqual(failed(answer, 'stock failed: a mishap after the commit'))
    expect(await orderOf(gid)).toEqual({ id: 3, gid, uid: 1, status: 9 })
    // One less and one more.
    const product = await mall.books.product(1)
    expect(product.stock).toBe(100)
    expect(product.updated).toBeGreaterThan(updated)
    expect(await mall.books.barrier(gid)).toEqual(BOTH_UNDONE)
    expect(await mall.books.saga(gid)).toEqual({ status: 'failed', ops: OPS_FAILED })
  })

  test('M4 anything but Failure after the commit is called again, and takes effect once', async () => {
    await mall.mishap('stumble', 2)
    const answer = await mall.order(1)
    const { gid } = answer.body
    expect(answer).toEqual(done(answer))
    expect(await stock()).toBe(99)
    expect(await orderOf(gid)).toMatchObject({ status: 0 })
    expect(await callsOf(gid)).toEqual(['Create', 'DecrStock', 'DecrStock', 'DecrStock'])
    expect((await mall.books.calls(gid)).at(-1)?.result).toBe('duplicate')
    expect(await mall.books.barrier(gid)).toEqual(BOTH_DONE)
    expect((await mall.books.saga(gid)).status).toBe('succeed')
  })

  test('M5 what was done last is undone first', async () => {
    expect(await callsOf(ended.normal)).toEqual(['Create', 'DecrStock'])
    expect(await callsOf(ended.soldOut)).toEqual(['Create', 'DecrStock', 'DecrStockRevert', 'CreateRevert'])
    expect(await callsOf(ended.afterCommit)).toEqual(['Create', 'DecrStock', 'DecrStockRevert', 'CreateRevert'])
  })

  test('M6 a user who is not known is a Failure, not something to ask again for ever', async () => {
    const before = await mall.books.orders()
    const answer = await mall.order(404)
    const { gid } = answer.body
    expect(answer).toEqual(failed(answer, 'order failed: there is no user 404'))
    expect(await mall.books.orders()).toEqual(before)
    expect(await stock()).toBe(99)
    expect(await callsOf(gid)).toEqual(['Create', 'CreateRevert'])
    expect(await mall.books.barrier(gid)).toEqual(['order action 01/compensate', 'order compensate 01/compensate'])
    expect((await mall.books.saga(gid)).status).toBe('failed')
  })

  test('M7 the answer says that it is recorded, or waits: how it ended, or that it has not', async () => {
    let letGo = () => {}
    const held = new Promise<void>((resolve) => {
      letGo = resolve
    })
    mall.crossings.products.before = () => held
    const recorded = await mall.order(1, { wait: 0 })
    expect(recorded).toEqual({ status: 202, body: { gid: recorded.body.gid, outcome: 'pending' } })
    const notEnded = await mall.order(1, { wait: 300 })
    expect(notEnded).toEqual({ status: 202, body: { gid: notEnded.body.gid, outcome: 'pending' } })
    letGo()
    for (const { body } of [recorded, notEnded]) {
      const answer = await mall.outcome(body.gid)
      expect(answer).toEqual(done(answer))
    }
    expect(await stock()).toBe(97)
    // The same key is the same order, however often and in whichever way it is asked.
    const gid = randomUUID()
    const answers = [await mall.order(2, { gid }), await mall.order(2, { gid }), await mall.order(2, { gid, wait: 0 })]
    expect(answers).toEqual(answers.map(() => ({ status: 200, body: { gid, outcome: 'done' } })))
    expect(await stock()).toBe(96)
    await mall.mishap('refuse')
    const refused = await mall.order(2)
    expect(refused).toEqual(failed(refused, 'stock failed: a mishap after the commit'))
    expect(await mall.outcome(refused.body.gid)).toEqual(refused)
    expect(await mall.books.product(1)).toMatchObject({ stock: 96 })
  })

  describe('M8 requests that come several times, and too late', () => {
    beforeEach(() => {
      mall.crossings.orders.copies = 3
      mall.crossings.products.copies = 3
    })

    test('three of each at once are one order', async () => {
      await mall.books.restock(1, 10)
      const answer = await mall.order(1)
      const { gid } = answer.body
      expect(answer).toEqual(done(answer))
      expect(await stock()).toBe(9)
      expect((await mall.books.orders()).filter((row) => row.gid === gid)).toHaveLength(1)
      expect(await mall.books.barrier(gid)).toEqual(BOTH_DONE)
      const results = (await mall.books.calls(gid)).map(({ call, result }) => `${call} ${result}`)
      expect(results.filter((result) => result.endsWith(' done')).sort()).toEqual(['Create done', 'DecrStock done'])
      expect(results.filter((result) => result.endsWith(' duplicate')).length).toBeGreaterThanOrEqual(4)
    })

    test('three of each at once are undone once, and what comes after that has no effect', async () => {
      await mall.books.restock(1, 10)
      await mall.mishap('refuse', 3)
      const answer = await mall.order(1)
      const { gid } = answer.body
      expect(answer).toEqual(failed(answer, 'stock failed: a mishap after the commit'))
      expect(await stock()).toBe(10)
      expect(await orderOf(gid)).toMatchObject({ status: 9 })
      expect(await mall.books.barrier(gid)).toEqual(BOTH_UNDONE)
      // The network delivers everything once more.
      const { orders, products } = mall.crossings
      const late = [...orders.calls, ...products.calls].filter((call) => call.gid === gid)
      expect(late.length).toBeGreaterThanOrEqual(4)
      const { again } = orders
      expect(
        await Promise.all(late.map((call) => (orders.calls.includes(call) ? again(call) : products.again(call)))),
      ).toEqual(late.map(() => 204))
      expect(await stock()).toBe(10)
      expect(await orderOf(gid)).toMatchObject({ status: 9 })
      expect(await mall.books.barrier(gid)).toEqual(BOTH_UNDONE)
    })

    test('an action after the compensation that came first has no effect: no row, and nothing taken off', async () => {
      const gid = randomUUID()
      const order = { gid, branch: 'order', data: { uid: 1, pid: 1, amount: 100 } } as const
      const piece = { gid, branch: 'stock', data: { pid: 1, num: 1 } } as const
      expect(await mall.call('products', '/decr-stock-revert', { ...piece, op: 'compensate' })).toBe(204)
      expect(await mall.call('orders', '/create-revert', { ...order, op: 'compensate' })).toBe(204)
      const late = await Promise.all(
        [1, 2, 3].flatMap(() => [
          mall.call('orders', '/create', { ...order, op: 'action' }),
          mall.call('products', '/decr-stock', { ...piece, op: 'action' }),
        ]),
      )
      expect(late).toEqual(late.map(() => 204))
      expect(await orderOf(gid)).toBeUndefined()
      expect(await stock()).toBe(10)
      const results = (await mall.books.calls(gid)).map(({ call, result }) => `${call} ${result}`)
      expect(results.slice(2).sort()).toEqual([...Array(3).fill('Create late'), ...Array(3).fill('DecrStock late')])
      expect(await mall.books.barrier(gid)).toEqual([
        'order action 01/compensate',
        'order compensate 01/compensate',
        'stock action 01/compensate',
        'stock compensate 01/compensate',
      ])
    })
  })

  test('at the end as many orders stand as pieces are gone', async () => {
    await mall.books.restock(1, 20)
    const before = (await mall.books.orders()).filter(({ status }) => status === 0).length
    const answers = await Promise.all(Array.from({ length: 30 }, (_, index) => mall.order(1 + (index % 2))))
    const sold = answers.filter(({ status }) => status === 200).length
    expect({ sold, refused: answers.filter(({ status }) => status === 409).length }).toEqual({ sold: 20, refused: 10 })
    await eventually(async () => expect(await stock()).toBe(0))
    const standing = (await mall.books.orders()).filter(({ status }) => status === 0).length
    expect(standing - before).toBe(20)
  })
})
