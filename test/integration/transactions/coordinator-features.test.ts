import { setTimeout as sleep } from 'node:timers/promises'
import { DeliveryRefused } from 'postcommit'
import type { Gid } from 'postcommit/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createHandlerDestination } from '../../../relay/destinations/handler.ts'
import { createUrlDestination } from '../../../relay/destinations/url.ts'
import { subscribe } from '../../../relay/store/topic/subscribe.ts'
import { pauseTransaction, resumeTransaction } from '../../../relay/store/transaction/pause-transaction.ts'
import { gidOf, messageTo, sagaOf, type TestCoordinator, testCoordinator } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { impatient, testGates } from '../../support/dispatchers.ts'
import { eventually } from '../../support/eventually.ts'
import { type Answer, type HttpService, httpService } from '../../support/http-service.ts'
import { latch } from '../../support/latch.ts'
import { storedTransaction } from '../../support/transactions.ts'

let db: TestDatabase
let stock: HttpService
let answer: Answer
let relay: TestCoordinator

beforeEach(async () => {
  db = await database()
  answer = () => 200
  stock = await httpService((...call) => answer(...call))
  relay = await testCoordinator(db.url, [impatient('stock', stock.url)])
})
afterEach(async () => {
  await relay.end()
  await stock[Symbol.asyncDispose]()
  await db.drop()
})

const paths = () => stock.calls.map(({ path }) => path)
const branch = (name: string, path: string, rest: object = {}) => ({
  branch: name,
  ops: { action: { destination: 'stock', path } },
  payload: '{}',
  ...rest,
})

describe('messages of one key', () => {
  const keyed = (path: string) => messageTo({ branches: [branch('01', path, { key: 'order-1' })] })

  test('are delivered in the order in which they were prepared, whichever is submitted first', async () => {
    const [first, second] = [gidOf('first'), gidOf('second')]
    await relay.perform({ do: 'prepare', gid: first, transaction: keyed('/first') })
    await relay.perform({ do: 'prepare', gid: second, transaction: keyed('/second') })
    expect(await relay.perform({ do: 'submit', gid: second, waitMs: 300 })).toMatchObject({ outcome: 'pending' })
    expect(paths()).toEqual([])
    const waiting = relay.perform({ do: 'query', gid: second, waitMs: 10_000 })
    await relay.perform({ do: 'submit', gid: first })
    expect(await waiting).toMatchObject({ outcome: 'done' })
    expect(paths()).toEqual(['/first', '/second'])
  })

  test('wait for no message of another key, and not for one that was given up', async () => {
    const [first, second, other] = [gidOf('first'), gidOf('second'), gidOf('other')]
    await relay.perform({ do: 'prepare', gid: first, transaction: keyed('/first') })
    await relay.perform({ do: 'submit', gid: second, transaction: keyed('/second') })
    expect(await relay.perform({ do: 'submit', gid: other, transaction: messageTo(), waitMs: 5000 })).toMatchObject({
      outcome: 'done',
    })
    expect(paths()).toEqual(['/action'])
    await relay.perform({ do: 'abort', gid: first })
    expect(await relay.perform({ do: 'query', gid: second, waitMs: 5000 })).toMatchObject({ outcome: 'done' })
  })

  test('an undecided head that others wait for is asked about soon if its transaction has begun', async () => {
    const first = gidOf('first')
    const { backQuery, ...message } = keyed('/first')
    if (backQuery === undefined) throw new Error('it is a message')
    const transaction = { ...message, backQuery: { ...backQuery, hint: '1' } }
    await relay.perform({ do: 'prepare', gid: first, transaction })
    expect((await storedTransaction(db.pool, first)).due_ms).toBeGreaterThan(50_000)
    await relay.perform({ do: 'submit', gid: gidOf('second'), transaction: keyed('/second') })
    await eventually(async () => expect((await storedTransaction(db.pool, first)).due_ms).toBeLessThan(1000))
  })

  test('and not before its time if nobody knows whether it has', async () => {
    const [first, second] = [gidOf('first'), gidOf('second')]
    await relay.perform({ do: 'prepare', gid: first, transaction: keyed('/first') })
    expect(
      await relay.perform({ do: 'submit', gid: second, transaction: keyed('/second'), waitMs: 2500 }),
    ).toMatchObject({ outcome: 'pending' })
    expect((await storedTransaction(db.pool, first)).due_ms).toBeGreaterThan(50_000)
  })
})

describe('topics', () => {
  test('are read when the branch runs, and each target is called until it is done', async () => {
    const gid = gidOf('topic')
    const toTopic = { branch: '01', ops: { action: { topic: 'order.placed' } }, payload: '{}' }
    const transaction = messageTo({ branches: [toTopic, branch('02', '/after')] })
    await relay.perform({ do: 'prepare', gid, transaction })
    expect(await relay.perform({ do: 'submit', gid, waitMs: 200 })).toMatchObject({ outcome: 'pending' })
    expect(relay.logged.join('\n')).toMatch(/there is no topic order\.placed/)
    let refusals = 2
    answer = ({ path }) => (path === '/b' && refusals-- > 0 ? 500 : 200)
    const client = await db.pool.connect()
    await client.query('begin')
    for (const path of ['/a', '/b', '/c']) {
      await subscribe(client, { tenant: '', topic: 'order.placed', target: `stock${path}`, remark: '' })
    }
    await client.query('commit')
    client.release()
    expect(await relay.perform({ do: 'query', gid, waitMs: 10_000 })).toMatchObject({ outcome: 'done' })
    expect((await storedTransaction(db.pool, gid)).ops).toEqual([
      '01 action succeed',
      '02 action succeed',
      '01-01 action succeed',
      '01-02 action succeed',
      '01-03 action succeed',
    ])
    expect(paths().filter((path) => path === '/b')).toHaveLength(3)
    expect(paths().at(-1)).toBe('/after')
  })
})

test('a branch that is delayed is called no sooner', async () => {
  const gid = gidOf('later')
  const from = performance.now()
  const transaction = messageTo({
    branches: [branch('01', '/now'), branch('02', '/later', { delayMs: 600, after: [] })],
  })
  expect(await relay.perform({ do: 'submit', gid, transaction, waitMs: 5000 })).toMatchObject({ outcome: 'done' })
  expect(paths()).toEqual(['/now', '/later'])
  expect((stock.calls[1]?.at ?? 0) - from).toBeGreaterThanOrEqual(595)
})

test('functions of the process are branches too, and refuse by throwing', async () => {
  const called: string[] = []
  const handlers = createHandlerDestination('stock', async ({ target, headers }) => {
    called.push(`${target} ${headers['postcommit-op']}`)
    if (target === '/pay') throw new DeliveryRefused('no money')
  })
  const other = await testCoordinator(db.url, [handlers])
  try {
    // Its destination of this name is an HTTP service.
    await relay.end()
    const gid = gidOf('functions')
    const result = await other.perform({ do: 'submit', gid, transaction: sagaOf(['order', 'pay']), waitMs: 5000 })
    expect(result).toMatchObject({ outcome: 'failed' })
    expect(called).toEqual(['/order action', '/pay action', '/undo-pay compensate', '/undo-order compensate'])
  } finally {
    await other.end()
  }
})

describe('addresses that come with a transaction', () => {
  const toUrl = (url: string) => messageTo({ branches: [{ branch: '01', ops: { action: { url } }, payload: '{}' }] })

  test('are called where the rules allow it', async () => {
    const port = String(stock.port)
    const urls = createUrlDestination({ allow: ['127.0.0.0/8'], ports: [port] })
    const other = await testCoordinator(db.url, [], { gates: testGates([], { urls }) })
    try {
      const transaction = toUrl(`${stock.url}/action?x=1`)
      expect(await other.perform({ do: 'submit', gid: gidOf('url'), transaction, waitMs: 5000 })).toMatchObject({
        outcome: 'done',
      })
      expect(paths()).toEqual(['/action?x=1'])
    } finally {
      await other.end()
      await urls.close()
    }
  })

  test('and not by any name, redirect or way of writing that leads elsewhere', async () => {
    await using inside = await httpService()
    answer = (_, response) => {
      response.writeHead(302, { location: inside.url }).end()
      return undefined
    }
    // Only the port of the one is allowed, and only the name of the other, which leads to no public address.
    const urls = createUrlDestination({ allow: ['localhost', '127.0.0.1'], ports: [String(stock.port)] })
    const byName = createUrlDestination({ allow: ['localhost'], ports: [String(inside.port)] })
    const relays = [
      await testCoordinator(db.url, [], { gates: testGates([], { urls }) }),
      await testCoordinator(db.url, [], { gates: testGates([], { urls: byName }) }),
    ]
    const [first, second] = relays
    try {
      await relay.end()
      await first?.perform({ do: 'submit', gid: gidOf('url'), transaction: toUrl(stock.url) })
      await first?.perform({ do: 'submit', gid: gidOf('url'), transaction: toUrl(inside.url) })
      const written = ['127.0.0.1', '2130706433', '[::ffff:127.0.0.1]', 'localhost']
      for (const host of written) {
        const transaction = toUrl(`http://${host}:${inside.port}/`)
        await second?.perform({ do: 'submit', gid: gidOf('url'), transaction })
      }
      await eventually(async () => {
        const { rows } = await db.pool.query('select count(*)::int as n from postcommit.branch where attempts > 1')
        expect(rows[0]?.n).toBe(6)
      })
      expect(stock.calls.length).toBeGreaterThan(0)
      expect(inside.calls).toHaveLength(0)
    } finally {
      for (const one of relays) await one.end()
      await Promise.all([urls.close(), byName.close()])
    }
  })

  test('are not called at all without rules', async () => {
    await relay.perform({ do: 'submit', gid: gidOf('url'), transaction: toUrl(`${stock.url}/x`) })
    await eventually(async () => {
      const { rows } = await db.pool.query('select last_error from postcommit.branch')
      expect(rows[0]?.last_error).toMatch(/no destination/)
    })
    expect(paths()).toEqual([])
  })
})

describe('what an initiator calls itself', () => {
  const begin = (mode: 'tcc' | 'saga', timeoutMs?: number) => ({
    mode,
    branches: [],
    options: { retry: { baseMs: 10, capMs: 50 }, ...(timeoutMs !== undefined && { timeoutMs }) },
  })
  const registered = (mode: 'tcc' | 'saga', name: string) => {
    const at = (op: string) => ({ destination: 'stock', path: `/${op}-${name}` })
    const ops = mode === 'tcc' ? { confirm: at('confirm'), cancel: at('cancel') } : { compensate: at('undo') }
    return { branch: name, ops, payload: '{}' }
  }
  const register = async (gid: Gid, mode: 'tcc' | 'saga', names: readonly string[]) => {
    for (const name of names) {
      expect(await relay.perform({ do: 'registerBranch', gid, mode, branch: registered(mode, name) })).toMatchObject({
        outcome: 'pending',
      })
    }
  }

  test('is confirmed by the relay in the reverse of its order, cancelled likewise', async () => {
    for (const [decision, op] of [
      ['submit', 'confirm'],
      ['abort', 'cancel'],
    ] as const) {
      const gid = gidOf('tcc')
      await relay.perform({ do: 'prepare', gid, transaction: begin('tcc') })
      await register(gid, 'tcc', ['out', 'in'])
      await relay.perform({ do: decision, gid })
      const outcome = decision === 'submit' ? 'done' : 'failed'
      expect(await relay.perform({ do: 'query', gid, waitMs: 5000 })).toMatchObject({ outcome })
      expect(paths().slice(-2)).toEqual([`/${op}-in`, `/${op}-out`])
    }
  })

  test('is undone in the reverse of what had happened before what, as far as it was told', async () => {
    const gid = gidOf('live')
    const branch = (name: string, ended?: readonly string[]) =>
      relay.perform({
        do: 'registerBranch',
        gid,
        mode: 'saga',
        branch: registered('saga', name),
        ...(ended && { ended }),
      })
    await relay.perform({ do: 'prepare', gid, transaction: begin('saga') })
    await branch('first')
    await branch('left', ['first', 'nobody'])
    // Sent again, as after a lost answer.
    await branch('left', ['first', 'nobody'])
    await branch('right', ['first'])
    await branch('last', ['left'])
    // Left is undone after last, right beside both of them, and first after all.
    const begun = (name: string) => paths().includes(`/undo-${name}`)
    const events: string[] = []
    answer = async ({ path }) => {
      events.push(`begin ${path}`)
      if (path === '/undo-right') await eventually(() => expect(begun('left')).toBe(true), { timeoutMs: 5000 })
      events.push(`end ${path}`)
      return 200
    }
    await relay.perform({ do: 'abort', gid })
    expect(await relay.perform({ do: 'query', gid, waitMs: 15_000 })).toMatchObject({ outcome: 'failed' })
    const at = (event: string) => events.indexOf(event)
    expect(at('end /undo-last')).toBeLessThan(at('begin /undo-left'))
    expect(at('begin /undo-right')).toBeLessThan(at('end /undo-left'))
    for (const name of ['left', 'right', 'last']) {
      expect(at(`end /undo-${name}`)).toBeLessThan(at('begin /undo-first'))
    }
    expect(events).toHaveLength(8)
  })

  test('is called nothing for when it is done', async () => {
    const gid = gidOf('live')
    await relay.perform({ do: 'prepare', gid, transaction: begin('saga') })
    expect(await relay.perform({ do: 'submit', gid, waitMs: 5000 })).toMatchObject({ outcome: 'done' })
    expect(paths()).toEqual([])
  })
})

test('a paused transaction stands still, and goes on when it is resumed', async () => {
  answer = () => 500
  const gid = gidOf('paused')
  await relay.perform({ do: 'submit', gid, transaction: messageTo() })
  await eventually(() => expect(stock.calls.length).toBeGreaterThan(2))
  expect(await pauseTransaction(db.pool, { tenant: '', gid }, { actor: 'ann', reason: 'why' })).toBe(true)
  await sleep(100)
  const calls = stock.calls.length
  await sleep(300)
  expect(stock.calls).toHaveLength(calls)
  answer = () => 200
  await resumeTransaction(db.pool, { tenant: '', gid }, { actor: 'ann', reason: 'why' })
  expect(await relay.perform({ do: 'query', gid, waitMs: 5000 })).toMatchObject({ outcome: 'done' })
})

test('somebody is told of a branch that fails again and again, once for so many attempts', async () => {
  await using alerts = await httpService()
  const other = await testCoordinator(db.url, [impatient('stock', stock.url)], {
    alerts: { url: alerts.url, everyAttempts: 3 },
  })
  try {
    await relay.end()
    let left = 7
    answer = () => (left-- > 0 ? 500 : 200)
    const gid = gidOf('alert')
    expect(await other.perform({ do: 'submit', gid, transaction: messageTo(), waitMs: 10_000 })).toMatchObject({
      outcome: 'done',
    })
    await eventually(() => expect(alerts.calls).toHaveLength(2))
    expect(JSON.parse(alerts.calls[0]?.body.toString() ?? '')).toMatchObject({ gid, branch: '01', attempts: 3 })
  } finally {
    await other.end()
  }
})

test('a slow destination, and one that is away, delay no other', async () => {
  const { opened, open } = latch()
  await using slow = await httpService(async () => {
    await opened
    return 200
  })
  await using gone = await httpService()
  await gone.kill()
  const options = { concurrency: 2 }
  const other = await testCoordinator(db.url, [
    // On a busy machine its calls may take long; that it is slow itself is not the question.
    impatient('stock', stock.url, { timeoutMs: 10_000 }),
    impatient('slow', slow.url, { ...options, timeoutMs: 60_000 }),
    impatient('gone', gone.url, options),
  ])
  try {
    await relay.end()
    const to = (destination: string) =>
      messageTo({ branches: [{ branch: '01', ops: { action: { destination, path: '/x' } }, payload: '{}' }] })
    const troubled = ['slow', 'gone'].flatMap((name) => Array.from({ length: 300 }, () => to(name)))
    await Promise.all(troubled.map((transaction) => other.perform({ do: 'submit', gid: gidOf('bad'), transaction })))
    const good = await Promise.all(
      Array.from({ length: 100 }, () =>
        other.perform({ do: 'submit', gid: gidOf('good'), transaction: to('stock'), waitMs: 20_000 }),
      ),
    )
    expect(new Set(good.map(({ outcome }) => outcome))).toEqual(new Set(['done']))
    expect(stock.calls).toHaveLength(100)
  } finally {
    open()
    await other.end(0)
  }
})

describe('another relay', () => {
  test('tells whoever waits there how a transaction ended that this one carried out', async () => {
    const other = await testCoordinator(db.url, [impatient('stock', stock.url)])
    try {
      answer = async () => {
        await sleep(300)
        return 200
      }
      const gid = gidOf('elsewhere')
      await relay.perform({ do: 'submit', gid, transaction: messageTo() })
      expect(await other.perform({ do: 'query', gid, waitMs: 5000 })).toMatchObject({ outcome: 'done' })
      expect(stock.calls).toHaveLength(1)
    } finally {
      await other.end()
    }
  })

  test('goes on at once with what a stopping relay gives back', async () => {
    answer = ({ path }, response) => {
      if (path === '/second') return 200
      if (stock.calls.length > 1) return 200
      // The first call is never answered.
      response.on('close', () => undefined)
      return undefined
    }
    const gid = gidOf('given-back')
    await relay.perform({ do: 'submit', gid, transaction: sagaOf(['first', 'second']) })
    await eventually(() => expect(stock.calls).toHaveLength(1))
    await relay.end(50)
    expect((await storedTransaction(db.pool, gid)).lease_token).toBe(null)
    const other = await testCoordinator(db.url, [impatient('stock', stock.url)])
    try {
      expect(await other.perform({ do: 'query', gid, waitMs: 5000 })).toMatchObject({ outcome: 'done' })
      expect(paths()).toEqual(['/first', '/first', '/second'])
    } finally {
      await other.end()
    }
  })
})
