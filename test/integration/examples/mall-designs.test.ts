import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createReadCache } from '../../../examples/03-mall/read-cache.ts'
import { openStore } from '../../../examples/03-mall/store.ts'
import type { CrossingCall } from '../../support/crossing.ts'
import { eventually } from '../../support/eventually.ts'
import { MALL_DATABASES, type TestMall, testMall } from '../../support/test-mall.ts'
import { openTutorialMall, type TutorialMall } from '../../support/tutorial-mall.ts'

/**
 * Four designs of the go-zero tutorial "mall" that fail, each seen to fail, and `examples/03-mall` beside it, which
 * holds in the same story: the same relay, database and rows, with the tutorial's service in the place of the mall's.
 */
describe.each(MALL_DATABASES)('on %s', { timeout: 180_000 }, (kept) => {
  let mall: TestMall
  let tutorial: TutorialMall
  let beforeCommit: () => Promise<unknown> = async () => undefined
  let letGo: ((gid: string) => void)[] = []

  beforeAll(async () => {
    mall = await testMall(kept)
    tutorial = await openTutorialMall({
      databases: mall.databases,
      usersUrl: mall.crossings.users.url,
      beforeCommit: () => beforeCommit(),
    })
  })
  afterEach(() => {
    for (const crossing of Object.values(mall.crossings)) crossing.before = () => undefined
    for (const go of letGo.splice(0)) go('')
    beforeCommit = async () => undefined
    letGo = []
  })
  afterAll(async () => {
    await tutorial.close()
    await mall.close()
  })

  const lead = (service: 'orders' | 'products', to: string) => {
    mall.crossings[service].target = to
  }
  const designs = [
    { design: 'the tutorial', place: (service: 'orders' | 'products') => lead(service, tutorial.url) },
    { design: 'the mall', place: (service: 'orders' | 'products') => lead(service, mall.urls[service]) },
  ] as const

  /** Holds what comes to a crossing until its gid is let go, or with `''` everything. */
  function hold(service: keyof TestMall['crossings']): (gid: string) => void {
    const free = new Map<string, () => void>()
    const held = new Set<string>()
    let all = false
    mall.crossings[service].before = (call: CrossingCall) => {
      if (all || held.has(call.gid)) return
      return new Promise<void>((resolve) => free.set(`${call.gid} ${randomUUID()}`, resolve))
    }
    const release = (gid: string) => {
      if (gid === '') all = true
      held.add(gid)
      for (const [of, resolve] of free) if (gid === '' || of.startsWith(`${gid} `)) resolve()
    }
    letGo.push(release)
    return release
  }

  const comes = (service: keyof TestMall['crossings'], from: number, count: number) =>
    eventually(() => expect(mall.crossings[service].calls.length - from).toBeGreaterThanOrEqual(count), {
      timeoutMs: 60_000,
    })

  test.each([
    { ...designs[0], voided: 'the other order', first: 0, second: 9 },
    { ...designs[1], voided: 'the one that failed', first: 9, second: 0 },
  ])('B1 two orders of a user under way: undo of $design: it voids $voided', async ({ place, first, second }) => {
    place('orders')
    await mall.books.restock(1, 1)
    const release = hold('products')
    const from = mall.crossings.products.calls.length
    const failing = await mall.order(1, { wait: 0 })
    await comes('products', from, 1)
    const other = await mall.order(1, { wait: 0 })
    await comes('products', from, 2)
    // Both rows are there. The second order gets the last piece, the first one none.
    release(other.body.gid)
    expect((await mall.outcome(other.body.gid)).status).toBe(200)
    release(failing.body.gid)
    expect((await mall.outcome(failing.body.gid)).status).toBe(409)
    const rows = new Map((await mall.books.orders()).map(({ gid, status }) => [gid, status]))
    expect([rows.get(failing.body.gid), rows.get(other.body.gid)]).toEqual([first, second])
  })

  describe('B2 while another service thinks about the user', () => {
    const create = (gid: string) =>
      ({ gid, branch: 'order', op: 'action', data: { uid: 1, pid: 1, amount: 1 } }) as const
    const undo = (gid: string) => ({ ...create(gid), op: 'compensate' }) as const

    /** Transactions that are open in the database of the orders, and at no statement. */
    async function openTransactions(): Promise<number> {
      const store = openStore(mall.databases.orders)
      const statement =
        kept === 'PostgreSQL'
          ? `select count(*) as n from pg_stat_activity where datname = current_database() and state = 'idle in transaction'`
          : `select count(*) as n from information_schema.innodb_trx t
             join information_schema.processlist p on p.id = t.trx_mysql_thread_id
             where p.db = database() and p.command = 'Sleep' and t.trx_rows_modified > 0`
      const { rows } = await store.query(statement)
      await store.close()
      return Number(rows[0]?.['n'])
    }

    test.each([
      {
        ...designs[0],
        what: 'holds a row of the barrier, so that its own undo has to wait',
        open: 1,
        undone: 500,
        row: 0,
      },
      { ...designs[1], what: 'holds nothing, and its undo closes the door', open: 0, undone: 204, row: undefined },
    ])('a handler of $design $what', async ({ place, open, undone, row }) => {
      place('orders')
      const release = hold('users')
      const from = mall.crossings.users.calls.length
      const gid = randomUUID()
      const { target } = mall.crossings.orders
      const creating = mall.call('orders', '/create', create(gid), target)
      await comes('users', from, 1)
      await eventually(async () => expect(await openTransactions()).toBe(open))
      // After two seconds of waiting for the row, the tutorial’s handler says what it says to everything: 500.
      expect(await mall.call('orders', '/create-revert', undo(gid), target)).toBe(undone)
      release('')
      expect(await creating).toBeLessThan(300)
      const order = (await mall.books.orders()).find((one) => one.gid === gid)
      expect(order?.status).toBe(row)
    })

    test.each([
      { ...designs[0], what: 'has no connection left for anything else', answered: false },
      { ...designs[1], what: 'has all of its connections', answered: true },
    ])('a service of $design $what', async ({ place, answered }) => {
      place('orders')
      const release = hold('users')
      const from = mall.crossings.users.calls.length
      const { target } = mall.crossings.orders
      const creating = Array.from({ length: 10 }, () => mall.call('orders', '/create', create(randomUUID()), target))
      await comes('users', from, 10)
      let isAnswered = false
      const other = mall.call('orders', '/create-revert', undo(randomUUID()), target).then((status) => {
        isAnswered = true
        return status
      })
      if (answered) expect(await other).toBe(204)
      else await sleep(300)
      expect(isAnswered).toBe(answered)
      release('')
      expect(await other).toBeLessThan(300)
      expect((await Promise.all(creating)).every((status) => status < 300)).toBe(true)
    })
  })

  describe('B3 a reader beside a change', () => {
    const stockAt = async (url: string) =>
      ((await (await fetch(`${url}/product?id=1`)).json()) as { readonly stock: number }).stock

    test('the tutorial’s cache is refilled with the old row before the commit, and keeps it', async () => {
      designs[0].place('products')
      designs[1].place('orders')
      await mall.books.restock(1, 10)
      expect(await stockAt(tutorial.url)).toBe(10)
      beforeCommit = () => stockAt(tutorial.url)
      expect((await mall.order(1)).status).toBe(200)
      expect((await mall.books.product(1)).stock).toBe(9)
      expect(await stockAt(tutorial.url)).toBe(10)
    })

    test('ours never gives, after the answer to an order, what was before it', async () => {
      for (const service of ['orders', 'products'] as const) designs[1].place(service)
      await mall.books.restock(1, 20)
      let isReading = true
      const read: number[] = []
      const reading = Array.from({ length: 2 }, async () => {
        while (isReading) {
          read.push(await stockAt(mall.urls.products))
          await sleep(1)
        }
      })
      for (let left = 19; left >= 10; left -= 1) {
        expect((await mall.order(1)).status).toBe(200)
        expect(await stockAt(mall.urls.products)).toBe(left)
      }
      isReading = false
      await Promise.all(reading)
      expect(new Set(read).size).toBeGreaterThan(1)
    })
  })

  describe('B4 ten customers at once, and five pieces', () => {
    const standing = async () => (await mall.books.orders()).filter(({ status }) => status === 0).length

    test('the tutorial’s stock that is read, counted down and written back is sold twice', async () => {
      await mall.books.restock(1, 5)
      const before = await standing()
      let read = 0
      const meet = () => {
        read += 1
        return eventually(() => expect(read).toBe(10), { timeoutMs: 60_000 })
      }
      await Promise.all(Array.from({ length: 10 }, (_, index) => tutorial.orderWithoutSaga(index, meet)))
      expect([(await standing()) - before, (await mall.books.product(1)).stock]).toEqual([10, 4])
    })

    test('ours is sold once', async () => {
      for (const service of ['orders', 'products'] as const) designs[1].place(service)
      await mall.books.restock(1, 5)
      const before = await standing()
      await Promise.all(Array.from({ length: 10 }, (_, index) => mall.order(1 + (index % 2))))
      expect([(await standing()) - before, (await mall.books.product(1)).stock]).toEqual([5, 0])
    })
  })
})

test('what a reader began to read before a change is not kept after it', async () => {
  let row = 'old'
  let answer = () => {}
  const cache = createReadCache(async (_: number) => {
    const found = row
    await new Promise<void>((resolve) => {
      answer = resolve
    })
    return found
  })
  const early = cache.read(1)
  row = 'new'
  cache.forget(1)
  answer()
  expect(await early).toBe('old')
  const later = cache.read(1)
  answer()
  expect(await later).toBe('new')
  expect(await cache.read(1)).toBe('new')
})
