import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { type SubscriptionTrouble, subscribe } from 'postcommit/nats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { nats, type TestNats, type TestStream } from '../../support/nats.ts'
import { privateNats } from '../../support/private-servers.ts'
import { publishAsRelay } from '../../support/relay-message.ts'

let broker: TestNats

beforeAll(async () => {
  broker = await nats()
})
afterAll(() => broker.close())

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

describe('the stream and the consumer', () => {
  test('a stream that is not there yet is waited for', async () => {
    const name = `late-${Date.now()}`
    const { list, onError } = troubles()
    await using subscription = await subscribe({
      connection: broker.connection,
      stream: name,
      durable: 'stock',
      onError,
      handle: () => undefined,
    })
    expect(subscription.stats.state).toBe('detached')
    await eventually(() => expect(list).not.toEqual([]))
    expect(list[0]).toMatchObject({
      error: { code: 'POSTCOMMIT_CONSUMER_UNAVAILABLE', retryable: true },
      about: { what: 'consumer' },
    })
    const { manager } = await broker.freshStream()
    await manager.streams.add({ name, subjects: [`${name}.>`] })
    await publishAsRelay(broker.connection, { gid: 'g1', subject: `${name}.a`, payload: 1 })
    await eventually(() => expect(subscription.stats).toMatchObject({ state: 'attached', handled: 1 }))
  })

  test('a consumer that is deleted is made again and misses nothing', async () => {
    const stream = await broker.freshStream('orders')
    const seen = new Set<number>()
    const { list, onError } = troubles()
    await using _ = await subscribe<{ id: number }>({
      connection: broker.connection,
      stream: stream.name,
      durable: 'stock',
      startAt: 'new',
      onError,
      handle: ({ payload }) => seen.add(payload.id),
    })
    await publish(stream, 1)
    await eventually(() => expect(seen).toEqual(new Set([1])))
    await stream.manager.consumers.delete(stream.name, 'stock')
    await publish(stream, 2)
    await eventually(() => expect(seen).toEqual(new Set([1, 2])))
    expect(list[0]).toMatchObject({ error: { message: expect.stringContaining('409 Consumer Deleted') } })
  })

  test('a stream that is made anew with the same sequences is read from its beginning', async () => {
    const stream = await broker.freshStream('orders')
    const seen: string[] = []
    await using _ = await subscribe({
      connection: broker.connection,
      stream: stream.name,
      durable: 'stock',
      onError: () => undefined,
      handle: ({ gid }) => seen.push(gid),
    })
    for (let id = 1; id <= 5; id += 1) await publish(stream, id)
    await eventually(() => expect(seen).toHaveLength(5))
    await stream.manager.streams.delete(stream.name)
    await stream.manager.streams.add({ name: stream.name, subjects: [...stream.subjects] })
    for (let id = 11; id <= 15; id += 1) await publish(stream, id)
    await eventually(() => expect(seen.slice(5)).toEqual(['g11', 'g12', 'g13', 'g14', 'g15']), { timeoutMs: 15_000 })
  })

  test('a message that is purged while its key waits lets the key go on', async () => {
    const stream = await broker.freshStream('orders')
    for (let id = 1; id <= 3; id += 1) await publish(stream, id, { key: 'k' })
    const seen: number[] = []
    await using _ = await subscribe<{ id: number }>({
      connection: broker.connection,
      stream: stream.name,
      durable: 'stock',
      ackWaitMs: 500,
      backOff: { baseMs: 300, capMs: 300 },
      onError: () => undefined,
      handle({ payload }) {
        if (payload.id === 1) throw new Error('never')
        seen.push(payload.id)
      },
    })
    await eventually(async () => expect(await consumer(stream)).toMatchObject({ num_ack_pending: 3 }))
    await stream.manager.streams.purge(stream.name, { seq: 3 })
    await eventually(() => expect(seen).toContain(3), { timeoutMs: 10_000 })
  })

  test.each([
    ['gives messages up', { max_deliver: 5 }, 'max_deliver is 5'],
    ['reads other subjects', { filter_subject: 'x.other' }, 'x.other'],
    ['waits another time', { ack_wait: 3e9 }, 'ack_wait is 3000 ms'],
    ['does not wait for acknowledgements', { ack_policy: 'none' }, 'ack_policy is none'],
  ])('a consumer that %s is refused', async (_, config, reason) => {
    const stream = await broker.freshStream('orders')
    const filter = 'filter_subject' in config ? { filter_subject: `${stream.prefix}.x.other` } : {}
    const fields = { durable_name: 'stock', ack_policy: 'explicit', ...config, ...filter } as Parameters<
      typeof stream.manager.consumers.add
    >[1]
    await stream.manager.consumers.add(stream.name, fields)
    const subscribed = subscribe({
      connection: broker.connection,
      stream: stream.name,
      durable: 'stock',
      ackWaitMs: 30_000,
      handle: () => undefined,
    })
    await expect(subscribed).rejects.toMatchObject({
      code: 'POSTCOMMIT_CONSUMER_MISMATCH',
      message: expect.stringContaining(reason),
    })
  })

  test('only the subjects that are asked for are read', async () => {
    const stream = await broker.freshStream('orders')
    await publishAsRelay(broker.connection, { gid: 'a', subject: `${stream.prefix}.order.placed`, payload: 1 })
    await publishAsRelay(broker.connection, { gid: 'b', subject: `${stream.prefix}.order.paid`, payload: 1 })
    const seen: string[] = []
    await using subscription = await subscribe({
      connection: broker.connection,
      stream: stream.name,
      durable: 'stock',
      subjects: `${stream.prefix}.*.paid`,
      handle: ({ gid }) => seen.push(gid),
    })
    await eventually(() => expect(subscription.stats.handled).toBe(1))
    expect(seen).toEqual(['b'])
  })

  test('a connection that is closed ends the subscription and says so', async () => {
    const stream = await broker.freshStream('orders')
    const connection = await broker.connect()
    const { list, onError } = troubles()
    const subscription = await subscribe({
      connection,
      stream: stream.name,
      durable: 'stock',
      onError,
      handle: () => undefined,
    })
    await connection.close()
    await subscription.closed
    expect(subscription.stats.state).toBe('stopped')
    expect(list).toMatchObject([{ error: { code: 'POSTCOMMIT_CONNECTION_CLOSED' } }])
    await subscription.stop()
  })
})

describe('permissions', () => {
  test('a user that may reach nothing but its own consumer can subscribe to it', async () => {
    const rights = (allow: string[]) => `{ allow: ${JSON.stringify(allow)} }`
    const publishable = ['CONSUMER.INFO', 'CONSUMER.MSG.NEXT'].map((call) => `$JS.API.${call}.ORDERS.stock`)
    await using server = await privateNats({
      config: `authorization { users: [
        { user: admin, password: a }
        { user: stock, password: s, permissions: {
          publish: ${rights([...publishable, '$JS.ACK.ORDERS.stock.>'])}
          subscribe: ${rights(['_INBOX_stock.>'])}
        } }
      ] }`,
    })
    const servers = `${server.host}:${server.port}`
    const admin = await connect({ servers, user: 'admin', pass: 'a' })
    const manager = await jetstreamManager(admin)
    await manager.streams.add({ name: 'ORDERS', subjects: ['orders.>'] })
    await manager.consumers.add('ORDERS', { durable_name: 'stock', ack_policy: 'explicit' })
    await publishAsRelay(admin, { gid: 'g1', subject: 'orders.placed', payload: 1 })
    const connection = await connect({
      servers,
      user: 'stock',
      pass: 's',
      inboxPrefix: '_INBOX_stock',
    })
    const { list, onError } = troubles()
    const subscription = await subscribe({
      connection,
      stream: 'ORDERS',
      durable: 'stock',
      onError,
      handle: () => undefined,
    })
    await eventually(() => expect(subscription.stats.handled).toBe(1))
    await subscription.stop()
    await connection.close()
    expect(list).toEqual([])
    expect((await manager.consumers.info('ORDERS', 'stock')).num_ack_pending).toBe(0)
    await admin.close()
  })
})

describe('several processes on one durable', () => {
  test('share its messages; with ackPendingMax 1 they keep the order of everything', async () => {
    const stream = await broker.freshStream('orders')
    const seen: number[] = []
    const open = () =>
      subscribe<{ id: number }>({
        connection: broker.connection,
        stream: stream.name,
        durable: 'stock',
        ackPendingMax: 1,
        backOff: { baseMs: 5, capMs: 5 },
        onError: () => undefined,
        handle({ payload }) {
          if (Math.random() < 0.2) throw new Error('now and then')
          seen.push(payload.id)
        },
      })
    await using first = await open()
    await using second = await open()
    for (let id = 1; id <= 60; id += 1) await publish(stream, id, { key: `k${id % 3}` })
    await eventually(() => expect(seen).toHaveLength(60))
    expect(seen).toEqual(Array.from({ length: 60 }, (_, i) => i + 1))
    expect(first.stats.handled + second.stats.handled).toBe(60)
  })

  test('nothing gets stuck when hundreds wait behind keys that fail in both', async () => {
    const stream = await broker.freshStream('orders')
    const seen: number[] = []
    let isBroken = true
    const open = () =>
      subscribe<{ id: number }>({
        connection: broker.connection,
        stream: stream.name,
        durable: 'stock',
        backOff: { baseMs: 20, capMs: 50 },
        onError: () => undefined,
        handle({ payload }) {
          if (isBroken) throw new Error('not yet')
          seen.push(payload.id)
        },
      })
    await using first = await open()
    await using second = await open()
    for (let id = 1; id <= 800; id += 1) await publish(stream, id, { key: `k${id % 2}` })
    await eventually(() => expect(first.stats.unsettled + second.stats.unsettled).toBe(800))
    isBroken = false
    await eventually(() => expect(new Set(seen).size).toBe(800), { timeoutMs: 30_000 })
    await eventually(async () => expect(await consumer(stream)).toMatchObject({ num_ack_pending: 0 }))
  })

  test('a successor that starts before its predecessor stops gets everything, none twice', async () => {
    const stream = await broker.freshStream('orders')
    const seen: number[] = []
    const open = () =>
      subscribe<{ id: number }>({
        connection: broker.connection,
        stream: stream.name,
        durable: 'stock',
        handle: ({ payload }) => seen.push(payload.id),
      })
    const published = (async () => {
      for (let id = 1; id <= 500; id += 1) await publish(stream, id, { key: `k${id % 9}` })
    })()
    const first = await open()
    await eventually(() => expect(seen.length).toBeGreaterThan(100))
    await using _ = await open()
    await first.stop()
    await published
    await eventually(() => expect(seen.length).toBeGreaterThanOrEqual(500))
    expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: 500 }, (_, i) => i + 1))
  })
})
