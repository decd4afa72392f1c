/** G6: what a broker has acknowledged and lost is published again, each key in order, and what it still has is not. */
import { cp, rm } from 'node:fs/promises'
import { createRelay, type Relay } from '@postcommit/relay'
import type { NatsServer } from '@postcommit/relay/dev'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { NATS_MESSAGE_ID } from 'postcommit/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { nats, type TestNats } from '../support/nats.ts'
import { privateNats } from '../support/private-servers.ts'

const STREAM = 'ORDERS'
const KEYS = 5

let db: TestDatabase
let server: NatsServer & AsyncDisposable
let broker: TestNats
let relay: Relay
let committed: number
const logged: string[] = []

beforeEach(async () => {
  db = await database()
  server = (await privateNats()) as NatsServer & AsyncDisposable
  broker = await nats(server.url)
  committed = 0
  logged.length = 0
})
afterEach(async () => {
  await relay.stop()
  await broker.close()
  await server[Symbol.asyncDispose]()
  await db.drop()
})

async function startRelay(): Promise<void> {
  const log = pino({ level: 'error' }, { write: (line) => logged.push(line) })
  const streams = [{ name: STREAM, subjects: ['orders.>'], create: true }]
  relay = createRelay({
    db: db.url,
    nats: { connection: { servers: server.url, reconnectTimeWait: 50 }, streams },
    log,
  })
  await relay.start()
}

/** A message a transaction, one after the other: the order in the log is that of the numbers. */
async function commit(count: number): Promise<void> {
  const outbox = createOutbox({ db: db.pool })
  for (let n = 0; n < count; n += 1) {
    committed += 1
    const number = committed
    await outbox.commit((_, message) => message.publish('orders.placed', { number }, { key: `k${number % KEYS}` }))
  }
}

/** What the stream holds of ours: the numbers, and how many of its messages are repetitions. */
async function stored(): Promise<{ readonly numbers: readonly number[]; readonly repeated: number }> {
  const { jetstreamManager } = await import('@nats-io/jetstream')
  const manager = await jetstreamManager(broker.connection)
  const { state } = await manager.streams.info(STREAM)
  const found = new Map<string, number>()
  let repeated = 0
  for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
    const message = await manager.streams.getMessage(STREAM, { seq })
    const id = message?.header.get(NATS_MESSAGE_ID) ?? ''
    if (id === '') continue
    if (found.has(id)) repeated += 1
    else found.set(id, message?.json<{ number: number }>().number ?? 0)
  }
  return { numbers: [...found.values()], repeated }
}

async function expectAllInOrder(): Promise<void> {
  await eventually(async () => expect((await stored()).numbers).toHaveLength(committed), {
    timeoutMs: 90_000,
    everyMs: 300,
  })
  const { numbers } = await stored()
  for (let key = 0; key < KEYS; key += 1) {
    const ofKey = numbers.filter((number) => number % KEYS === key)
    expect(ofKey).toEqual(ofKey.toSorted((a, b) => a - b))
  }
}

const untilStored = (count: number) =>
  eventually(async () => expect((await stored()).numbers).toHaveLength(count), { timeoutMs: 90_000, everyMs: 300 })
const losses = () => logged.filter((line) => line.includes('the broker has lost what it acknowledged'))

describe('a store that is', { timeout: 300_000 }, () => {
  test.each([
    { fate: 'set back while the relay is down', copied: true, foreign: 0 },
    { fate: 'set back and filled up by others while the relay is down', copied: true, foreign: 120 },
    { fate: 'removed while the relay is down', copied: false, foreign: 0 },
  ])('$fate', async ({ copied, foreign }) => {
    await startRelay()
    await commit(40)
    await untilStored(40)
    await server.kill()
    const copy = `${server.storeDir}.copy`
    await cp(server.storeDir, copy, { recursive: true })
    await server.start()
    await commit(60)
    await untilStored(100)
    await relay.stop()
    await server.kill()
    await rm(server.storeDir, { recursive: true })
    if (copied) await cp(copy, server.storeDir, { recursive: true })
    await server.start()
    await commit(10)
    for (let n = 0; n < foreign; n += 1) {
      // Right after a start it may lose what it is asked.
      await eventually(() => broker.connection.request('orders.foreign', '{}', { timeout: 5000 }), {
        timeoutMs: 60_000,
      })
    }
    await startRelay()
    await expectAllInOrder()
    expect((await stored()).repeated).toBe(0)
    expect(losses()).toEqual([expect.stringContaining(copied ? '"from":"after ' : '"from":"the beginning')])
    // Once is enough: whoever takes the shard next finds everything there.
    await relay.stop()
    await startRelay()
    await commit(1)
    await expectAllInOrder()
    expect(losses()).toHaveLength(1)
  })

  test('set back while the relay runs: before anything newer is published', async () => {
    await startRelay()
    await commit(40)
    await untilStored(40)
    await server.kill()
    const copy = `${server.storeDir}.copy`
    await cp(server.storeDir, copy, { recursive: true })
    await server.start()
    await commit(60)
    await untilStored(100)
    await server.kill()
    await rm(server.storeDir, { recursive: true })
    await cp(copy, server.storeDir, { recursive: true })
    await commit(10)
    await server.start()
    await expectAllInOrder()
    expect(losses()).toHaveLength(1)
  })

  test('made anew by a person while the connection holds: with the next message', async () => {
    await startRelay()
    await commit(100)
    await untilStored(100)
    const { jetstreamManager } = await import('@nats-io/jetstream')
    const manager = await jetstreamManager(broker.connection)
    await manager.streams.delete(STREAM)
    await manager.streams.add({ name: STREAM, subjects: ['orders.>'] })
    await commit(1)
    await eventually(async () => expect((await stored()).numbers).toHaveLength(101), { timeoutMs: 90_000 })
    expect(losses()).toHaveLength(1)
  })
})

test('a broker that is killed and has everything is left alone', { timeout: 300_000 }, async () => {
  await startRelay()
  await commit(50)
  await untilStored(50)
  for (let kills = 0; kills < 3; kills += 1) {
    await server.kill()
    await commit(5)
    await server.start()
    await untilStored(committed)
  }
  expect(losses()).toEqual([])
  expect((await stored()).repeated).toBe(0)
})
