import { setTimeout as sleep } from 'node:timers/promises'
import { DiscardPolicy } from '@nats-io/jetstream'
import { type NatsConnection as ConnectionV2, connect as connectV2 } from 'nats'
import { DeliveryPostponed, DeliveryRefused } from 'postcommit'
import { type NatsConnectionLike, type SubscribedDelivery, type SubscriptionTrouble, subscribe } from 'postcommit/nats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { eventually } from '../../support/eventually.ts'
import { latch } from '../../support/latch.ts'
import { nats, type TestNats, type TestStream } from '../../support/nats.ts'
import { publishAsRelay } from '../../support/relay-message.ts'

let broker: TestNats
let v2: ConnectionV2

beforeAll(async () => {
  broker = await nats()
  v2 = await connectV2({ servers: broker.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 })
})
afterAll(async () => {
  await v2.close()
  await broker.close()
})

const clients: readonly { readonly client: string; readonly connection: () => NatsConnectionLike }[] = [
  { client: '@nats-io/transport-node 3', connection: () => broker.connection },
  { client: 'nats 2', connection: () => v2 },
]

async function publish(stream: TestStream, id: number, more: { key?: string; payload?: unknown } = {}) {
  return await publishAsRelay(broker.connection, {
    gid: `g${id}`,
    subject: `${stream.prefix}.order.placed`,
    payload: { id },
    ...more,
  })
}

const consumer = async ({ manager, name }: TestStream, durable = 'stock') => await manager.consumers.info(name, durable)

/** Collects what a subscription reports. */
function troubles() {
  const list: { error: unknown; about: SubscriptionTrouble }[] = []
  return { list, onError: (error: unknown, about: SubscriptionTrouble) => void list.push({ error, about }) }
}

const quick = { baseMs: 20, capMs: 60 }

describe.each(clients)('subscribe over $client', ({ connection }) => {
  test('hands every message over and acknowledges it', async () => {
    const stream = await broker.freshStream('orders')
    for (let id = 1; id <= 100; id += 1) await publish(stream, id, { key: `k${id % 7}` })
    const seen: SubscribedDelivery<{ id: number }>[] = []
    await using subscription = await subscribe({
      connection: connection(),
      stream: stream.name,
      durable: 'stock',
      schema: z.object({ id: z.number() }),
      handle: (delivery) => seen.push(delivery),
    })
    await eventually(() => expect(subscription.stats).toMatchObject({ handled: 100, unsettled: 0 }))
    expect(new Set(seen.map(({ payload }) => payload.id)).size).toBe(100)
    expect(seen.find(({ gid }) => gid === 'g8')).toMatchObject({
      id: 'g8:1',
      branch: 1,
      key: 'k1',
      attempt: 1,
      topic: `${stream.prefix}.order.placed`,
    })
    await eventually(async () =>
      expect(await consumer(stream)).toMatchObject({
        num_ack_pending: 0,
        num_pending: 0,
        ack_floor: { stream_seq: 100 },
      }),
    )
  })

  test('messages that come later are handed over at once, over several requests', async () => {
    const stream = await broker.freshStream('orders')
    const seen: number[] = []
    await using _ = await subscribe<{ id: number }>({
      connection: connection(),
      stream: stream.name,
      durable: 'stock',
      concurrency: 1,
      parse: z.object({ id: z.number() }).parse,
      handle: ({ payload }) => seen.push(payload.id),
    })
    for (let id = 1; id <= 200; id += 1) await publish(stream, id)
    await eventually(() => expect(seen).toHaveLength(200))
    expect(seen).toEqual(Array.from({ length: 200 }, (_, i) => i + 1))
  })

  test('what cannot be handled becomes a dead letter with its content, its headers and its origin', async () => {
    const stream = await broker.freshStream('orders', {})
    const dead = await broker.freshStream('dead')
    const subject = `${dead.prefix}.stock`
    await publish(stream, 1, { payload: { id: 'not a number' }, key: 'k' })
    await broker.connection.request(`${stream.prefix}.foreign`, 'hello')
    await publish(stream, 2, { key: 'k' })
    const { list, onError } = troubles()
    await using subscription = await subscribe({
      connection: connection(),
      stream: stream.name,
      durable: 'stock',
      schema: z.object({ id: z.number() }),
      handle: () => undefined,
      deadLetter: { subject },
      onError,
    })
    await eventually(() => expect(subscription.stats).toMatchObject({ handled: 1, deadLettered: 2, unsettled: 0 }))
    const first = await dead.manager.streams.getMessage(dead.name, { seq: 1 })
    const second = await dead.manager.streams.getMessage(dead.name, { seq: 2 })
    const letters = [first, second].sort(
      (a, b) =>
        Number(a?.header.get('postcommit-dead-letter-sequence')) -
        Number(b?.header.get('postcommit-dead-letter-sequence')),
    )
    expect(letters[0]?.json()).toEqual({ id: 'not a number' })
    const values = (at: number) =>
      Object.fromEntries([...(letters[at]?.header ?? [])].map(([name, [value]]) => [name, value]))
    expect(values(0)).toMatchObject({
      'Nats-Msg-Id': expect.stringMatching(/^dead:/),
      'postcommit-gid': 'g1',
      'postcommit-key': 'k',
      'content-type': 'application/json',
      'postcommit-dead-letter-consumer': `${stream.name}.stock`,
      'postcommit-dead-letter-subject': `${stream.prefix}.order.placed`,
      'postcommit-dead-letter-sequence': '1',
      'postcommit-dead-letter-attempts': '1',
      'postcommit-dead-letter-reason': expect.stringContaining('POSTCOMMIT_DELIVERY_MISMATCH'),
    })
    expect(letters[1]?.string()).toBe('hello')
    expect(values(1)).toMatchObject({
      'postcommit-dead-letter-reason': expect.stringContaining('POSTCOMMIT_INVALID_DELIVERY'),
    })
    expect(list.map(({ about }) => about.what)).toEqual(['dead-letter', 'dead-letter'])
    await eventually(async () =>
      expect(await consumer(stream)).toMatchObject({ num_ack_pending: 0, ack_floor: { stream_seq: 3 } }),
    )
  })

  test('a failing head holds back its own key, in order and however many wait behind it, and nobody else', async () => {
    const stream = await broker.freshStream('orders')
    const total = 600
    for (let id = 1; id <= total; id += 1) await publish(stream, id, { key: id % 3 === 0 ? 'other' : 'failing' })
    let isBroken = true
    const seen = { other: [] as number[], failing: [] as number[] }
    const running = new Map<string, number>()
    await using subscription = await subscribe<{ id: number }>({
      connection: connection(),
      stream: stream.name,
      durable: 'stock',
      concurrency: 4,
      backOff: quick,
      ackWaitMs: 1000,
      // Room for a few of those that wait: the others are delivered again when it is their turn.
      waitingBytesMax: 20_000,
      onError: () => undefined,
      parse: z.object({ id: z.number() }).parse,
      async handle({ payload, key }) {
        expect(running.get(key ?? '') ?? 0).toBe(0)
        running.set(key ?? '', 1)
        await sleep(1)
        running.set(key ?? '', 0)
        if (key === 'failing' && isBroken) throw new Error('not yet')
        seen[key === 'failing' ? 'failing' : 'other'].push(payload.id)
      },
    })
    await eventually(() => expect(seen.other).toHaveLength(total / 3))
    // Past the wait for an acknowledgement: those behind were delivered again, and may neither be lost nor be handled.
    await eventually(async () => expect((await consumer(stream)).num_redelivered).toBeGreaterThan(0), {
      timeoutMs: 20_000,
    })
    expect(seen.failing).toEqual([])
    isBroken = false
    await eventually(() => expect(subscription.stats.unsettled).toBe(0), { timeoutMs: 15_000 })
    expect(seen.failing).toEqual(Array.from({ length: total }, (_, i) => i + 1).filter((id) => id % 3 !== 0))
    expect(seen.other).toEqual(Array.from({ length: total / 3 }, (_, i) => 3 * (i + 1)))
  })

  test('stop lets handlers finish and hands back the rest to the next subscriber at once', async () => {
    const stream = await broker.freshStream('orders')
    for (let id = 1; id <= 20; id += 1) await publish(stream, id, { key: `k${id}` })
    const begun: number[] = []
    const { opened, open } = latch()
    const first = await subscribe<{ id: number }>({
      connection: connection(),
      stream: stream.name,
      durable: 'stock',
      concurrency: 3,
      async handle({ payload }) {
        begun.push(payload.id)
        await opened
      },
    })
    await eventually(() => expect(begun).toHaveLength(3))
    const stopped = first.stop()
    expect(first.stats).toMatchObject({ running: 3 })
    open()
    await stopped
    expect(first.stats).toMatchObject({ state: 'stopped', running: 0, handled: 3, unsettled: 0 })
    await first.closed

    const rest: number[] = []
    await using _ = await subscribe<{ id: number }>({
      connection: connection(),
      stream: stream.name,
      durable: 'stock',
      handle: ({ payload }) => rest.push(payload.id),
    })
    // The wait for an acknowledgement is 15 s; nothing may have to wait for it.
    await eventually(() => expect(rest).toHaveLength(17), { timeoutMs: 2000 })
    expect([...begun, ...rest].sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
  })
})

describe('retries', () => {
  test('a message is tried again with pauses and is a dead letter after attemptsMax; its key goes on', async () => {
    const stream = await broker.freshStream('orders')
    const dead = await broker.freshStream('dead')
    await publish(stream, 1, { key: 'k' })
    await publish(stream, 2, { key: 'k' })
    const attempts: [number, number][] = []
    await using subscription = await subscribe<{ id: number }>({
      connection: broker.connection,
      stream: stream.name,
      durable: 'stock',
      attemptsMax: 3,
      backOff: quick,
      deadLetter: { subject: `${dead.prefix}.stock` },
      onError: () => undefined,
      handle({ payload, attempt }) {
        attempts.push([payload.id, attempt])
        if (payload.id === 1) throw new Error('never')
      },
    })
    await eventually(() =>
      expect(subscription.stats).toMatchObject({ handled: 1, failed: 3, deadLettered: 1, unsettled: 0 }),
    )
    expect(attempts).toEqual([
      [1, 1],
      [1, 2],
      [1, 3],
      [2, 1],
    ])
    const letter = await dead.manager.streams.getMessage(dead.name, { seq: 1 })
    expect(letter?.header.get('postcommit-dead-letter-attempts')).toBe('3')
    expect(letter?.header.get('postcommit-dead-letter-reason')).toBe('Error: never')
  })

  test('a dead letter that no stream takes leaves its message where it is', async () => {
    const stream = await broker.freshStream('orders')
    await publish(stream, 1)
    const { list, onError } = troubles()
    await using subscription = await subscribe({
      connection: broker.connection,
      stream: stream.name,
      durable: 'stock',
      backOff: quick,
      deadLetter: { subject: `${stream.name}-nowhere.stock` },
      onError,
      handle() {
        throw new DeliveryRefused('there is no such order')
      },
    })
    await eventually(() => expect(list.length).toBeGreaterThan(2))
    expect(list.every(({ error }) => (error as { code?: string }).code === 'POSTCOMMIT_DEAD_LETTER_FAILED')).toBe(true)
    expect(subscription.stats).toMatchObject({ deadLettered: 0, unsettled: 1 })
    const { manager } = stream
    await manager.streams.add({ name: `${stream.name}-nowhere`, subjects: [`${stream.name}-nowhere.>`] })
    await eventually(() => expect(subscription.stats).toMatchObject({ deadLettered: 1, unsettled: 0 }))
  })

  test('a dead letter that its stream refuses leaves its message where it is', async () => {
    const stream = await broker.freshStream('orders')
    // The refusal names the stream, as an acknowledgement does.
    const full = await broker.freshStream('full', { discard: DiscardPolicy.New, max_msgs: 1 })
    await broker.connection.request(`${full.prefix}.stock`, '')
    await publish(stream, 1)
    const { list, onError } = troubles()
    await using subscription = await subscribe({
      connection: broker.connection,
      stream: stream.name,
      durable: 'stock',
      backOff: quick,
      deadLetter: { subject: `${full.prefix}.stock` },
      onError,
      handle() {
        throw new DeliveryRefused('there is no such order')
      },
    })
    await eventually(() => expect(list.length).toBeGreaterThan(2))
    expect(list.every(({ error }) => (error as { code?: string }).code === 'POSTCOMMIT_DEAD_LETTER_FAILED')).toBe(true)
    expect(subscription.stats).toMatchObject({ deadLettered: 0, unsettled: 1 })
    await full.manager.streams.update(full.name, { max_msgs: -1 })
    await eventually(() => expect(subscription.stats).toMatchObject({ deadLettered: 1, unsettled: 0 }))
  })

  test('without a dead letter subject nothing is given up', async () => {
    const stream = await broker.freshStream('orders')
    await publish(stream, 1, { payload: 'wrong' })
    let isNewVersion = false
    const { list, onError } = troubles()
    await using subscription = await subscribe({
      connection: broker.connection,
      stream: stream.name,
      durable: 'stock',
      backOff: quick,
      onError,
      parse(payload) {
        if (!isNewVersion) throw new Error('unknown payload')
        return payload
      },
      handle: () => undefined,
    })
    await eventually(() => expect(list.length).toBeGreaterThan(10))
    expect(list[10]).toMatchObject({
      error: { code: 'POSTCOMMIT_DELIVERY_MISMATCH' },
      about: { what: 'handle', id: 'g1:1', retryInMs: 60 },
    })
    isNewVersion = true
    await eventually(() => expect(subscription.stats).toMatchObject({ handled: 1, unsettled: 0 }))
  })

  test('a handler can ask for a pause, which burns no attempt', async () => {
    const stream = await broker.freshStream('orders')
    await publish(stream, 1)
    const times: { atMs: number; attempt: number }[] = []
    await using subscription = await subscribe({
      connection: broker.connection,
      stream: stream.name,
      durable: 'stock',
      onError: () => undefined,
      handle({ attempt }) {
        times.push({ atMs: performance.now(), attempt })
        if (times.length === 1) throw new DeliveryPostponed(400)
      },
    })
    await eventually(() => expect(subscription.stats.handled).toBe(1))
    const [first, second] = times
    expect(second?.attempt).toBe(1)
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(395)
  })

  test('a handler that takes longer than the wait for an acknowledgement is not run a second time', async () => {
    const stream = await broker.freshStream('orders')
    await publish(stream, 1, { key: 'k' })
    let runs = 0
    await using subscription = await subscribe({
      connection: broker.connection,
      stream: stream.name,
      durable: 'stock',
      ackWaitMs: 500,
      async handle() {
        runs += 1
        // More than twice as long as the server waits.
        await sleep(1100)
      },
    })
    await eventually(() => expect(subscription.stats.handled).toBe(1))
    expect(runs).toBe(1)
    await eventually(async () =>
      expect(await consumer(stream)).toMatchObject({ num_ack_pending: 0, num_redelivered: 0 }),
    )
  })
})
