import { describe, expect, test } from 'vitest'
import { createHandlerDestination } from '../../../relay/destinations/handler.ts'
import { impatient, many, numbered, useDispatchers } from '../../support/dispatchers.ts'
import { eventually } from '../../support/eventually.ts'
import { latch } from '../../support/latch.ts'

const fixture = useDispatchers()
const { service, dispatch, insert, states, allConfirmed, columns } = fixture

describe('order per key', () => {
  test('holds between two dispatchers, through failures and pauses: the next is not called before the one before it', {
    timeout: 60_000,
  }, async () => {
    const keys = ['a', 'b', 'c', 'd', 'e', 'f']
    const confirmed = new Map<string, number[]>(keys.map((key) => [key, []]))
    const stock = await service(({ headers, body }, _, n) => {
      if (n % 5 === 0) return 500
      if (n % 17 === 0) return 503
      confirmed.get(String(headers['postcommit-key']))?.push(Number(body))
      return 204
    })
    await insert(...many(180, (n) => numbered(n, { key: keys[n % 6] })))
    const both = [
      await dispatch([impatient('stock', stock.url)]),
      await dispatch([impatient('stock', stock.url, { concurrency: 3 })]),
    ]
    await insert(...many(180, (n) => numbered(n + 180, { key: keys[n % 6] })))
    await allConfirmed(50_000)
    for (const [index, key] of keys.entries()) {
      expect(confirmed.get(key)).toEqual(many(60, (n) => numbered(n)).map((_, n) => n * 6 + index))
    }
    for (const dispatcher of both)
      expect(await dispatcher.count('attempts', { outcome: 'confirmed' })).toBeGreaterThan(0)
  })

  test('a key whose head keeps failing holds back itself and nobody else', async () => {
    const stock = await service(({ headers }) => (headers['postcommit-key'] === 'poison' ? 500 : 204))
    await insert(...many(300, (n) => numbered(n, { key: n % 3 === 0 ? 'poison' : `k${n % 10}` })))
    const dispatcher = await dispatch([
      impatient('stock', stock.url, { concurrency: 8, backOff: { baseMs: 300, capMs: 300 } }),
    ])
    await eventually(async () => expect(await dispatcher.count('commitToConfirm')).toBe(200), { timeoutMs: 15_000 })
    const now = await states()
    expect(now.filter((state) => state === 'confirmed')).toHaveLength(200)
    expect(now.filter((state, n) => n % 3 === 0 && state !== 'held')).toEqual(['pending'])
    const poisoned = stock.calls.filter(({ headers }) => headers['postcommit-key'] === 'poison')
    expect(new Set(poisoned.map(({ body }) => String(body)))).toEqual(new Set(['0']))
  })
})

describe('destinations that fail', () => {
  test('one that hangs has its slots full of hanging calls; the others do not notice', async () => {
    const hanging = await service(() => undefined)
    const quick = await service()
    await insert(
      ...many(50, (n) => numbered(n, { destination: 'hanging' })),
      ...many(500, (n) => numbered(n, { destination: 'quick' })),
    )
    await dispatch([
      impatient('hanging', hanging.url, { concurrency: 4, timeoutMs: 5000 }),
      impatient('quick', quick.url),
    ])
    await eventually(() => expect(quick.calls).toHaveLength(500), { timeoutMs: 4000 })
    expect(hanging.calls).toHaveLength(4)
  })

  test('however large its deliveries and however many its slots, one has a bounded amount of content in hand', async () => {
    const calls: (() => void)[] = []
    const stock = createHandlerDestination('stock', () => new Promise<void>((done) => void calls.push(done)), {
      concurrency: 64,
    })
    await insert(...many(40, (n) => numbered(n, { payload: JSON.stringify('x'.repeat(500_000)) })))
    await dispatch([stock])
    await eventually(() => expect(calls.length).toBeGreaterThanOrEqual(16), { timeoutMs: 20_000 })
    const claimed = async () => (await columns('lease_token')).filter(({ lease_token }) => lease_token !== null).length
    expect(await claimed()).toBeLessThanOrEqual(17)
    for (let settled = 0; settled < 40; settled += 1) {
      // What is settled has left the lane, whether or not that is written down yet.
      expect(calls.length - settled).toBeLessThanOrEqual(17)
      await eventually(() => expect(calls.length).toBeGreaterThan(settled), { timeoutMs: 20_000 })
      calls[settled]?.()
    }
    await allConfirmed()
  })

  test('one that hangs after a while keeps what it was given, and what was claimed ahead for it is given back', async () => {
    const stock = await service((_, __, n) => (n <= 400 ? 204 : undefined))
    await insert(...many(2000, (n) => numbered(n)))
    await dispatch([impatient('stock', stock.url, { concurrency: 4, timeoutMs: 20_000 })])
    await eventually(() => expect(stock.calls).toHaveLength(404), { timeoutMs: 10_000 })
    const claimed = async () => (await columns('lease_token')).filter(({ lease_token }) => lease_token !== null).length
    await eventually(async () => expect(await claimed()).toBe(4), { timeoutMs: 3000 })
    expect(stock.calls).toHaveLength(404)
  })

  test('one that is down costs no attempts, is not hammered, and is found soon after it is back', async () => {
    const stock = await service()
    await stock.kill()
    await insert(...many(200, (n) => numbered(n)))
    const dispatcher = await dispatch([impatient('stock', stock.url, { attemptsMax: 1 })])
    await eventually(async () => {
      const { values } = await dispatcher.metrics.breaker.get()
      expect(values.map(({ value }) => value)).toEqual([2])
    })
    // 32 slots at first, then one probe at a time, at half a second or more. Two of them have been made.
    const unavailable = () => dispatcher.count('attempts', { outcome: 'unavailable' })
    await eventually(async () => expect(await unavailable()).toBeGreaterThan(33), { timeoutMs: 20_000 })
    expect(await unavailable()).toBeLessThan(45)
    await stock.restart()
    await allConfirmed()
    expect(new Set((await columns('attempts')).map(({ attempts }) => attempts))).toEqual(new Set([0]))
    const { values } = await dispatcher.metrics.breaker.get()
    expect(values.map(({ value }) => value)).toEqual([0])
  })

  test('a restart of the destination is over within two seconds', async () => {
    const stock = await service()
    const dispatcher = await dispatch([impatient('stock', stock.url)])
    await insert(numbered(1))
    await eventually(() => expect(stock.calls).toHaveLength(1))
    await stock.kill()
    await insert(...many(100, (n) => numbered(n)))
    await eventually(async () =>
      expect(await dispatcher.count('attempts', { outcome: 'unavailable' })).toBeGreaterThan(5),
    )
    await stock.restart()
    await eventually(() => expect(stock.calls.length).toBeGreaterThan(2), { timeoutMs: 2500 })
    await allConfirmed()
  })

  test('one that asks for a pause gets it', async () => {
    const stock = await service((_, response, n) => {
      if (n > 1) return 204
      response.writeHead(429, { 'retry-after': '1' }).end()
      return undefined
    })
    await insert(numbered(1))
    await dispatch([impatient('stock', stock.url)])
    await allConfirmed()
    const [first, second] = stock.calls
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(950)
    expect(await columns('attempts, last_status')).toEqual([{ attempts: 0, last_status: 204 }])
  })

  test('one that refuses makes a dead letter at once, one that keeps failing after its attempts', async () => {
    const stock = await service(({ path }) => (path === '/gone' ? 410 : 500))
    await insert({ target: '/gone' }, { target: '/broken' })
    await dispatch([impatient('stock', stock.url, { attemptsMax: 3 })])
    await eventually(async () => expect(await states()).toEqual(['dead', 'dead']))
    expect(await columns('attempts, last_status, last_error')).toEqual([
      { attempts: 1, last_status: 410, last_error: 'answered 410' },
      { attempts: 3, last_status: 500, last_error: 'answered 500' },
    ])
  })

  test('a function that throws what no database takes is still written down', async () => {
    await insert({ destination: 'mailer' })
    const mailer = createHandlerDestination('mailer', async () => Promise.reject(new Error('nul \u0000 in\nit')))
    await dispatch([mailer])
    await eventually(async () =>
      expect(await columns('attempts, last_error')).toEqual([{ attempts: 1, last_error: 'nul in it' }]),
    )
  })

  test('a row that the SDK would not have written becomes a dead letter, and nobody is called', async () => {
    const stock = await service()
    await insert({ headers: '{"host":"internal"}' }, { headers: '{' }, { target: '//elsewhere/' }, {})
    await dispatch([impatient('stock', stock.url)])
    await eventually(async () => expect(await states()).toEqual(['dead', 'dead', 'dead', 'confirmed']))
    expect(stock.calls).toHaveLength(1)
  })
})

describe('waking up', () => {
  const sleepy = { pollMs: { min: 60_000, max: 60_000 } }

  test('by a call', async () => {
    const stock = await service()
    const { opened, open } = latch()
    const dispatcher = await dispatch([impatient('stock', stock.url)], { ...sleepy, onReadOk: open })
    await opened
    await insert(numbered(1))
    dispatcher.wake()
    await eventually(() => expect(stock.calls).toHaveLength(1), { timeoutMs: sleepy.pollMs.max / 2 })
  })

  test('when the next delivery is due', async () => {
    const stock = await service()
    const insertedAt = performance.now()
    await insert(numbered(1, { dueInMs: 700 }))
    await dispatch([impatient('stock', stock.url)], sleepy)
    // Nothing but its due time can have woken the dispatcher: its next poll comes after the patience of this test.
    await eventually(() => expect(stock.calls).toHaveLength(1), { timeoutMs: sleepy.pollMs.max / 2 })
    expect((stock.calls[0]?.at ?? 0) - insertedAt).toBeGreaterThan(690)
  })

  test('by the poll, if nobody calls', async () => {
    const stock = await service()
    const reads: number[] = []
    await dispatch([impatient('stock', stock.url)], {
      pollMs: { min: 2, max: 50 },
      onReadOk: () => void reads.push(performance.now()),
    })
    // It has found nothing, and waits for the longest of its pauses.
    await eventually(() => expect(reads.length).toBeGreaterThan(8))
    await insert(numbered(1))
    await eventually(() => expect(stock.calls).toHaveLength(1), { timeoutMs: 10_000 })
  })

  test('an idle dispatcher leaves the database in peace', async () => {
    const stock = await service()
    const pollMs = { min: 2, max: 250 }
    const dispatcher = await dispatch([impatient('stock', stock.url)], { pollMs })
    const query = dispatcher.pool.query.bind(dispatcher.pool)
    const askedAt: number[] = []
    Object.assign(dispatcher.pool, {
      query: (config: Parameters<typeof query>[0]) => {
        askedAt.push(performance.now())
        return query(config)
      },
    })
    const [rampUp, counted] = [20, 10]
    await eventually(() => expect(askedAt.length).toBeGreaterThanOrEqual(rampUp + counted), { timeoutMs: 30_000 })
    // A busy machine can only make this longer; without the pauses a question takes milliseconds.
    const tookMs = (askedAt[rampUp + counted - 1] ?? 0) - (askedAt[rampUp - 1] ?? 0)
    expect(tookMs / counted).toBeGreaterThan(pollMs.max / 3)
  })
})

describe('what it tells', () => {
  test('outcomes and ages are counted', async () => {
    const stock = await service((_, __, n) => (n === 1 ? 500 : 204))
    await insert(numbered(1), numbered(2))
    const dispatcher = await dispatch([impatient('stock', stock.url)])
    await allConfirmed()
    const labels = { source: 'main', destination: 'stock' }
    await eventually(async () => expect(await dispatcher.count('commitToConfirm', labels)).toBe(2))
    expect(await dispatcher.count('attempts', { ...labels, outcome: 'confirmed' })).toBe(2)
    expect(await dispatcher.count('attempts', { ...labels, outcome: 'failed' })).toBe(1)
  })

  test('the log names messages, and holds nothing of what is in them', async () => {
    const stock = await service((_, __, n) => (n < 3 ? 500 : 410))
    await insert({
      payload: '{"card":"unsaid-a"}',
      headers: '{"tenant":"unsaid-b"}',
      key: 'unsaid-c',
      target: '/unsaid-d',
    })
    const dispatcher = await dispatch([impatient('stock', stock.url)])
    await eventually(async () => expect(await states()).toEqual(['dead']))
    const text = dispatcher.logged.join('')
    expect(text).toContain('delivery failed')
    expect(text).toContain('dead letter')
    expect(text).not.toContain('unsaid')
  })
})
