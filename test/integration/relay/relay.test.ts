import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Relay, RelayOptions } from '@postcommit/relay'
import { createOutbox, type MessageDraft } from 'postcommit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { discardDeadLetters } from '../../../relay/store/delivery/discard-dead-letters.ts'
import { requeueDeadLetters } from '../../../relay/store/delivery/requeue-dead-letters.ts'
import { selectDeadLetters } from '../../../relay/store/delivery/select-dead-letters.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { notedAct } from '../../support/deliveries.ts'
import { eventually } from '../../support/eventually.ts'
import { nats, type TestNats, type TestStream } from '../../support/nats.ts'
import { testRelays } from '../../support/test-relays.ts'

let db: TestDatabase
let broker: TestNats
let stream: TestStream
const relays = testRelays()
const closers: (() => unknown)[] = []

beforeEach(async () => {
  db = await database()
  broker = await nats()
  stream = await broker.freshStream('relay')
})
afterEach(async () => {
  await relays.stop()
  for (const close of closers.splice(0)) await close()
  await broker.close()
  await db.drop()
})

async function start(options: Partial<RelayOptions> = {}): Promise<Relay> {
  return await relays.start({
    db: db.url,
    nats: { connection: { servers: broker.url } },
    ...options,
  })
}

const commit = (work: (tx: unknown, message: MessageDraft) => unknown) => createOutbox({ db: db.pool }).commit(work)

/** What the stream holds, oldest first. */
async function stored(): Promise<{ subject: string; data: string; id: string }[]> {
  const { state } = await stream.manager.streams.info(stream.name)
  const messages = []
  for (let seq = state.first_seq; seq > 0 && seq <= state.last_seq; seq += 1) {
    const message = await stream.manager.streams.getMessage(stream.name, { seq })
    if (message === null) continue
    messages.push({ subject: message.subject, data: message.string(), id: message.header.get('Nats-Msg-Id') })
  }
  return messages
}

/** An HTTP service that answers what `answer` says and remembers what it was asked. */
async function service(answer: (path: string, body: string, n: number) => number | undefined) {
  const calls: { path: string; body: string; headers: Record<string, unknown> }[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString()
      const path = request.url ?? ''
      calls.push({ path, body, headers: request.headers })
      const status = answer(path, body, calls.length)
      if (status !== undefined) response.writeHead(status).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls }
}

const settledStates = async () =>
  (await db.pool.query<{ state: string }>('select state from postcommit.delivery order by id')).rows.map(
    ({ state }) => state,
  )

describe('relay', () => {
  test('publishes what was committed, before it started and after, in order, once', async () => {
    await commit(async (_, message) => void message.publish(`${stream.prefix}.a`, 1))
    await start()
    await commit(async (_, message) => {
      message.publish(`${stream.prefix}.a`, 2, { key: 'k' }).publish(`${stream.prefix}.b`, new Uint8Array([51]))
    })
    await eventually(async () => expect((await stored()).map(({ data }) => data)).toEqual(['1', '2', '3']))
    const [, second] = await stored()
    expect(second?.id).toMatch(/^[0-9a-f-]{36}:1$/)
  })

  test('calls a destination until it confirms, signed, with the same id', async () => {
    const stock = await service((_path, _body, n) => (n < 3 ? 500 : 204))
    await start({
      destinations: {
        stock: {
          url: `${stock.url}/api`,
          secrets: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
          backOff: { baseMs: 20, capMs: 50 },
        },
      },
    })
    const { gid } = await commit(async (_, message) => void message.call('stock', '/deduct', { sku: 'x' }))
    await eventually(async () => expect(await settledStates()).toEqual(['confirmed']))
    expect(stock.calls).toHaveLength(3)
    expect(stock.calls.map(({ path, body }) => [path, body])[2]).toEqual(['/api/deduct', '{"sku":"x"}'])
    expect(new Set(stock.calls.map(({ headers }) => headers['webhook-id']))).toEqual(new Set([`${gid}:1`]))
    expect(stock.calls[2]?.headers['webhook-signature']).toMatch(/^v1,/)
    const { rows } = await db.pool.query('select event, attempt, status from postcommit.attempt order by id')
    expect(rows).toEqual([
      { event: 'failed', attempt: 1, status: 500 },
      { event: 'failed', attempt: 2, status: 500 },
    ])
  })

  test('a failing key holds back itself and nobody else; discarding its head lets the rest go', async () => {
    const seen: string[] = []
    const stock = await service((_path, body) => {
      seen.push(body)
      return body.includes('poison') ? 410 : 200
    })
    await start({ destinations: { stock: { url: stock.url } } })
    await commit(async (_, message) => {
      for (const [key, value] of [
        ['a', 'poison'],
        ['a', 'a2'],
        ['b', 'b1'],
        ['a', 'a3'],
        ['b', 'b2'],
      ] as const) {
        message.call('stock', '/', value, { key })
      }
    })
    await eventually(async () =>
      expect(await settledStates()).toEqual(['dead', 'held', 'confirmed', 'held', 'confirmed']),
    )
    expect(seen).not.toContain('"a2"')
    const [head] = await selectDeadLetters(db.pool, { limit: 10 })
    expect(head).toMatchObject({ destination: 'stock', key: 'a', lastStatus: 410, holds: 2 })
    const act = notedAct('test', 'was never meant')
    expect(await discardDeadLetters(db.pool, [head?.id ?? ''], act)).toEqual([head?.id])
    await eventually(async () => expect(new Set(await settledStates())).toEqual(new Set(['discarded', 'confirmed'])))
    expect(seen.filter((body) => body.includes('a'))).toEqual(['"a2"', '"a3"'])
  })

  test('a requeued dead letter keeps its place in the order of its key', async () => {
    let healed = false
    const seen: string[] = []
    const stock = await service((_path, body) => {
      if (!healed) return 410
      seen.push(body)
      return 200
    })
    await start({ destinations: { stock: { url: stock.url } } })
    await commit(async (_, message) => {
      for (const n of [1, 2, 3]) message.call('stock', '/', n, { key: 'a' })
    })
    await eventually(async () => expect(await settledStates()).toEqual(['dead', 'held', 'held']))
    healed = true
    const letters = await selectDeadLetters(db.pool, { limit: 10 })
    await requeueDeadLetters(
      db.pool,
      letters.map(({ id }) => id),
      notedAct('test', 'healed'),
    )
    await eventually(async () => expect(await settledStates()).toEqual(['confirmed', 'confirmed', 'confirmed']))
    expect(seen).toEqual(['1', '2', '3'])
  })

  test('a subject that no stream takes is set aside with its key; when the stream comes, all of it goes out in order', async () => {
    await start()
    const missing = `${stream.prefix}x.a`
    await commit(async (_, message) => {
      message
        .publish(missing, 1, { key: 'k' })
        .publish(`${stream.prefix}.a`, 2, { key: 'k' })
        .publish(`${stream.prefix}.a`, 3)
    })
    await eventually(async () => expect((await stored()).map(({ data }) => data)).toEqual(['3']))
    await commit(async (_, message) => void message.publish(`${stream.prefix}.a`, 4, { key: 'k' }))
    await stream.manager.streams.update(stream.name, { subjects: [`${stream.prefix}.>`, `${stream.prefix}x.>`] })
    await eventually(async () => expect((await stored()).map(({ data }) => data)).toEqual(['3', '1', '2', '4']), {
      timeoutMs: 20_000,
    })
  })

  test('a delayed message comes when it is due', async () => {
    await start()
    const begun = performance.now()
    await commit(async (_, message) => void message.publish(`${stream.prefix}.a`, 'late', { deliverAfter: 700 }))
    await eventually(async () => expect(await stored()).toHaveLength(1))
    expect(performance.now() - begun).toBeGreaterThan(650)
  })

  test('a function of the same process is a destination', async () => {
    const got: unknown[] = []
    await start({ handlers: { mailer: async ({ content, target }) => got.push([target, content]) } })
    await commit(async (_, message) => void message.call('mailer', '/welcome', { to: 'a' }))
    await eventually(() => expect(got).toEqual([['/welcome', '{"to":"a"}']]))
  })

  test('the gauges show what waits and what is dead, and forget it when it is gone', async () => {
    let answer = 503
    const stock = await service(() => answer)
    const relay = await start({ destinations: { stock: { url: stock.url } } })
    await commit(async (_, message) => {
      message.call('stock', '/', 1, { key: 'a' }).call('stock', '/', 2, { key: 'a' })
    })
    const gauges = async () => {
      await relay.refreshMetrics()
      const value = async (gauge: typeof relay.metrics.backlog) =>
        (await gauge.get()).values.find(({ labels }) => labels.destination === 'stock')?.value
      return { backlog: await value(relay.metrics.backlog), dead: await value(relay.metrics.dead) }
    }
    await eventually(async () => expect(await gauges()).toEqual({ backlog: 2, dead: undefined }))
    answer = 410
    await eventually(async () => expect(await gauges()).toEqual({ backlog: 1, dead: 1 }), { timeoutMs: 10_000 })
    const dead = await selectDeadLetters(db.pool, { limit: 10 })
    answer = 200
    await discardDeadLetters(db.pool, [dead[0]?.id ?? ''], notedAct('test', 'gone'))
    await eventually(async () => expect(await gauges()).toEqual({ backlog: 0, dead: 0 }))
  })

  test('a destination that hangs slows nobody else', async () => {
    const hanging = await service(() => undefined)
    const quick = await service(() => 200)
    await start({
      destinations: { hanging: { url: hanging.url, timeoutMs: 1500, concurrency: 4 }, quick: { url: quick.url } },
    })
    await commit(async (_, message) => {
      for (let n = 0; n < 100; n += 1) message.call('hanging', '/', n).call('quick', '/', n)
    })
    await eventually(() => expect(quick.calls).toHaveLength(100))
    expect(hanging.calls.length).toBeLessThanOrEqual(4)
  })

  test('two relays share the work; when one stops, the other has all of it', async () => {
    const [first] = [await start(), await start()]
    await commit(async (_, message) => {
      for (let n = 0; n < 50; n += 1) message.publish(`${stream.prefix}.a`, n)
    })
    await eventually(async () => expect(await stored()).toHaveLength(50))
    await first.stop()
    await commit(async (_, message) => void message.publish(`${stream.prefix}.a`, 'after'))
    await eventually(async () => expect(await stored()).toHaveLength(51))
    const { rows } = await db.pool.query('select count(*)::int as relays from postcommit.relay')
    expect(rows).toEqual([{ relays: 1 }])
  })
})
