import { truncateSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectV2 } from 'nats'
import { createInbox } from 'postcommit'
import { type NatsConnectionLike, subscribe } from 'postcommit/nats'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { nats, type TestNats } from '../../support/nats.ts'
import { privateNats } from '../../support/private-servers.ts'
import { spawnProgram } from '../../support/program.ts'
import { publishAsRelay } from '../../support/relay-message.ts'

interface Effect {
  readonly gid: string
  readonly key: string | null
  readonly number: number
}

let db: TestDatabase

beforeAll(async () => {
  db = await database()
  await db.pool.query('create table effect (at bigserial, gid text not null, key text, number int not null)')
})
afterAll(() => db.drop())
beforeEach(async () => {
  await db.pool.query('truncate effect, postcommit.barrier')
})

const effects = async () => (await db.pool.query<Effect>('select gid, key, number from effect order by at')).rows

/** Publishes messages 1 to `total` over seven keys, each until it is stored, with a pause between them. */
async function publishAll(broker: TestNats, subject: string, total: number, pauseMs = 0) {
  for (let number = 1; number <= total; number += 1) {
    const message = { gid: `g${number}`, subject, key: `k${number % 7}`, payload: { number } }
    for (;;) {
      const stored = await publishAsRelay(broker.connection, message).then(
        () => true,
        () => false,
      )
      if (stored) break
      await sleep(20)
    }
    if (pauseMs > 0) await sleep(pauseMs)
  }
}

/** Every message once in effect, and those of each key in the order they were published. */
async function expectOnceAndInOrder(total: number) {
  const found = await effects()
  const numbers = found.map(({ number }) => number)
  expect([...numbers].sort((a, b) => a - b)).toEqual(Array.from({ length: total }, (_, i) => i + 1))
  for (let key = 0; key < 7; key += 1) {
    const ofKey = found.filter((effect) => effect.key === `k${key}`).map(({ number }) => number)
    expect(ofKey).toEqual([...ofKey].sort((a, b) => a - b))
  }
}

const countEffects = async (count: number) =>
  await eventually(async () => expect((await effects()).length).toBeGreaterThanOrEqual(count), {
    timeoutMs: 30_000,
    everyMs: 100,
  })

describe('a subscriber that is killed', () => {
  test.each(['consumer.before_commit:kill:20', 'consumer.after_commit:kill:20'])(
    'at %s: every effect once, each key in order',
    async (failpoint) => {
      await using broker = await nats()
      const stream = await broker.freshStream('faults')
      await publishAll(broker, `${stream.prefix}.a`, 100)
      const args = [db.url, broker.url, stream.name]
      await using killed = await spawnProgram('test/support/fixtures/subscriber.ts', [...args, failpoint])
      expect(await killed.exit).toMatchObject({ signal: 'SIGKILL' })
      expect((await effects()).length).toBeLessThan(100)
      await using successor = await spawnProgram('test/support/fixtures/subscriber.ts', args)
      await countEffects(100)
      // Everything is acknowledged: what came twice has been handled, and may not have had an effect.
      await eventually(
        async () => {
          const { num_ack_pending, num_pending } = await stream.manager.consumers.info(stream.name, 'service')
          expect({ num_ack_pending, num_pending }).toEqual({ num_ack_pending: 0, num_pending: 0 })
        },
        { timeoutMs: 30_000, everyMs: 100 },
      )
      expect(await successor.kill('SIGTERM')).toMatchObject({ code: 0 })
      await expectOnceAndInOrder(100)
    },
  )

  test('again and again under load: every effect once, each key in order', async () => {
    await using broker = await nats()
    const stream = await broker.freshStream('faults')
    const args = [db.url, broker.url, stream.name]
    const total = 1500
    const published = publishAll(broker, `${stream.prefix}.a`, total, 2)
    for (let kills = 0; kills < 4; kills += 1) {
      await using program = await spawnProgram('test/support/fixtures/subscriber.ts', args)
      await program.waitForLine(/subscribed/)
      await sleep(200 + Math.random() * 300)
      await program.kill()
    }
    await published
    await using last = await spawnProgram('test/support/fixtures/subscriber.ts', args)
    await countEffects(total)
    await expectOnceAndInOrder(total)
    await last.kill('SIGTERM')
  })
})

describe.each(['@nats-io/transport-node 3', 'nats 2'])('a nats-server that is killed, over %s', (client) => {
  test('under load: every effect once, each key in order, by the same subscription', async () => {
    await using server = await privateNats()
    await using broker = await nats(server.url)
    const v2 =
      client === 'nats 2'
        ? await connectV2({ servers: server.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 })
        : undefined
    const connection: NatsConnectionLike = v2 ?? broker.connection
    const stream = await broker.freshStream('faults')
    const total = 2000
    await using subscription = await subscribe<
      { number: number },
      { query(text: string, values: unknown[]): Promise<unknown> }
    >({
      connection,
      stream: stream.name,
      durable: 'service',
      ackWaitMs: 1500,
      onError: () => undefined,
      inbox: createInbox({ db: db.pool, consumer: 'service' }),
      handle: ({ gid, key, payload }, tx) =>
        tx.query('insert into effect (gid, key, number) values ($1, $2, $3)', [gid, key, payload.number]),
    })
    const published = publishAll(broker, `${stream.prefix}.a`, total, 1)
    for (let kills = 0; kills < 3; kills += 1) {
      await sleep(500)
      await server.kill()
      await sleep(100)
      await server.start()
    }
    await published
    await countEffects(total)
    await expectOnceAndInOrder(total)
    await eventually(() => expect(subscription.stats.unsettled).toBe(0), { timeoutMs: 10_000 })
    await eventually(
      async () => {
        const { num_ack_pending, num_pending } = await stream.manager.consumers.info(stream.name, 'service')
        expect({ num_ack_pending, num_pending }).toEqual({ num_ack_pending: 0, num_pending: 0 })
      },
      { timeoutMs: 10_000 },
    )
    await subscription.stop()
    await v2?.close()
  })

  test('that stands still: the subscription goes on when it does', async () => {
    await using server = await privateNats()
    await using broker = await nats(server.url)
    const stream = await broker.freshStream('faults')
    const seen: string[] = []
    await using _ = await subscribe({
      connection: broker.connection,
      stream: stream.name,
      durable: 'service',
      ackWaitMs: 1500,
      onError: () => undefined,
      handle: ({ gid }) => seen.push(gid),
    })
    server.pause()
    await sleep(7000)
    server.resume()
    await publishAll(broker, `${stream.prefix}.a`, 5)
    await eventually(() => expect(seen).toHaveLength(5), { timeoutMs: 10_000 })
  })
})

/**
 * A kill that meets nats-server between emptying the file of a consumer's progress and writing it leaves it empty, of which
 * the server says nothing: it begins with the first message of the stream again.
 */
describe('a nats-server that was killed while it wrote how far a consumer is', () => {
  test('delivers everything again: what this process settled it acknowledges unseen, the rest the inbox knows', async () => {
    await using server = await privateNats()
    await using broker = await nats(server.url)
    const stream = await broker.freshStream('faults')
    const attempts: string[] = []
    const open = () =>
      subscribe<{ number: number }>({
        connection: broker.connection,
        stream: stream.name,
        durable: 'service',
        ackWaitMs: 1500,
        onError: () => undefined,
        handle: (delivery) => {
          attempts.push(delivery.gid)
          return inbox.once(delivery, (tx) =>
            tx.query('insert into effect (gid, key, number) values ($1, $2, $3)', [
              delivery.gid,
              delivery.key,
              delivery.payload.number,
            ]),
          )
        },
      })
    const inbox = createInbox({ db: db.pool, consumer: 'service' })
    const isThrough = () =>
      eventually(
        async () => {
          const { num_ack_pending, num_pending } = await stream.manager.consumers.info(stream.name, 'service')
          expect({ num_ack_pending, num_pending }).toEqual({ num_ack_pending: 0, num_pending: 0 })
        },
        { timeoutMs: 15_000 },
      )
    const forget = async () => {
      await server.kill()
      truncateSync(join(server.storeDir, 'jetstream', '$G', 'streams', stream.name, 'obs', 'service', 'o.dat'))
      await server.start()
      await publishAll(broker, `${stream.prefix}.a`, total + 1)
      total += 1
      await countEffects(total)
      await isThrough()
    }
    let total = 100
    {
      await using _ = await open()
      await publishAll(broker, `${stream.prefix}.a`, total)
      await countEffects(total)
      await isThrough()
      await forget()
      expect(attempts).toHaveLength(101)
    }
    await using successor = await open()
    await forget()
    expect(attempts).toHaveLength(203)
    expect(successor.stats).toMatchObject({ handled: 102, duplicates: 101 })
    await expectOnceAndInOrder(102)
  })
})
