import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRelay } from '@postcommit/relay'
import type pg from 'pg'
import { pino } from 'pino'
import { backQueryHandler, createOutbox, createRelayClient, type Outbox } from 'postcommit'
import type { HttpDestinationOptions } from '../../../relay/destinations/http.ts'
import { discardDeadLetters } from '../../../relay/store/delivery/discard-dead-letters.ts'
import { requeueDeadLetters } from '../../../relay/store/delivery/requeue-dead-letters.ts'
import { selectDeadLetters } from '../../../relay/store/delivery/select-dead-letters.ts'
import { database } from '../database.ts'
import { notedAct } from '../deliveries.ts'
import { eventually } from '../eventually.ts'
import { type HttpService, httpService } from '../http-service.ts'
import { nats, type TestStream } from '../nats.ts'

/** How a service commits: with an outbox that the relay reads, or by messages that are announced to it. */
export const MODES = ['outbox', 'two-phase'] as const
export type ParityMode = (typeof MODES)[number]

/** What a program of the parity suite works with, in either mode. */
export interface ParityStage {
  readonly mode: ParityMode
  readonly outbox: Outbox<pg.PoolClient>
  readonly stock: HttpService
  /** What `stock` answers to its n-th call of a path; undefined: no answer. */
  answer: (path: string, n: number) => number | undefined
  /** The calls of `stock`, as `path body`. */
  calls(): readonly string[]
  /** Resolves when `stock` has been called so often. */
  called(times: number): Promise<void>
  /** What the stream holds, as `subject body`, without the prefix of the test. */
  stored(): Promise<readonly string[]>
  storedHeaders(): Promise<readonly Readonly<Record<string, string>>[]>
  published(count: number): Promise<void>
  subject(name: string): string
  /** Removes the stream and makes it again, empty. */
  loseStream(): Promise<void>
  deadLetters(): Promise<readonly string[]>
  requeueAll(): Promise<void>
  discardAll(): Promise<void>
  /** The database that the relay reads. */
  readonly relayPool: pg.Pool
}

/** Runs a program in one mode, on databases, a stream and a relay of its own. */
export async function onStage<T>(
  mode: ParityMode,
  options: Partial<HttpDestinationOptions>,
  program: (stage: ParityStage) => Promise<T>,
): Promise<T> {
  const [relayDb, serviceDb] = await Promise.all([database(), database()])
  const broker = await nats()
  const stream = await broker.freshStream('parity')
  const answers: { answer: ParityStage['answer'] } = { answer: () => 204 }
  const times = new Map<string, number>()
  const stock = await httpService((call) => {
    const n = (times.get(call.path) ?? 0) + 1
    times.set(call.path, n)
    return answers.answer(call.path, n)
  })
  const service = createServer(backQueryHandler({ db: serviceDb.pool, secrets: 'unsigned' }).node)
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve))
  const relay = createRelay({
    db: relayDb.url,
    nats: { connection: { servers: broker.url } },
    coordinator: { database: 'main' },
    api: { port: 0, auth: 'none' },
    destinations: {
      stock: { url: stock.url, timeoutMs: 1000, backOff: { baseMs: 20, capMs: 100 }, ...options },
      orders: { url: `http://127.0.0.1:${(service.address() as AddressInfo).port}` },
    },
    log: pino({ level: process.env['LOG'] ?? 'silent' }),
    drainMs: 1000,
  })
  const { api } = await relay.listen()
  await relay.start()
  const client = createRelayClient({ url: api ?? '' })
  const backQuery = { destination: 'orders', path: '/back-query' }
  const outbox =
    mode === 'outbox'
      ? createOutbox({ db: relayDb.pool })
      : createOutbox({ db: serviceDb.pool, relay: client, backQuery })
  const stage = stageOf({ mode, outbox, stock, stream, pool: relayDb.pool, answers })
  try {
    return await program(stage)
  } finally {
    await client.close()
    await relay.stop()
    await stock[Symbol.asyncDispose]()
    service.closeAllConnections()
    service.close()
    await stream.manager.streams.delete(stream.name).catch(() => undefined)
    await broker.close()
    await Promise.all([relayDb.drop(), serviceDb.drop()])
  }
}

function expectLength(list: readonly unknown[], count: number): void {
  if (list.length < count) throw new Error(`${list.length} of ${count}`)
}

interface Cast {
  readonly mode: ParityMode
  readonly outbox: Outbox<pg.PoolClient>
  readonly stock: HttpService
  readonly stream: TestStream
  readonly pool: pg.Pool
  readonly answers: { answer: ParityStage['answer'] }
}

function stageOf({ mode, outbox, stock, stream, pool, answers }: Cast): ParityStage {
  const messages = async () => {
    const { state } = await stream.manager.streams.info(stream.name)
    const all = []
    for (let seq = state.first_seq; seq > 0 && seq <= state.last_seq; seq += 1) {
      const message = await stream.manager.streams.getMessage(stream.name, { seq })
      if (message !== null) all.push(message)
    }
    return all
  }
  const dead = () => selectDeadLetters(pool, { limit: 1000 })
  const act = notedAct('operator', 'parity')
  return {
    mode,
    outbox,
    stock,
    relayPool: pool,
    get answer() {
      return answers.answer
    },
    set answer(answer) {
      answers.answer = answer
    },
    calls: () => stock.calls.map(({ path, body }) => `${path} ${body.toString()}`),
    called: (count) => eventually(() => expectLength(stock.calls, count), { timeoutMs: 30_000 }),
    stored: async () =>
      (await messages()).map((one) => `${one.subject.slice(stream.prefix.length + 1)} ${one.string()}`),
    storedHeaders: async () =>
      (await messages()).map(({ header }) => Object.fromEntries(header.keys().map((key) => [key, header.get(key)]))),
    published: (count) => eventually(async () => expectLength(await messages(), count), { timeoutMs: 60_000 }),
    subject: (name) => `${stream.prefix}.${name}`,
    async loseStream() {
      await stream.manager.streams.delete(stream.name)
      await stream.manager.streams.add({ name: stream.name, subjects: [...stream.subjects] })
    },
    deadLetters: async () =>
      (await dead()).map(({ destination, target, attempts, lastError, lastStatus, holds }) =>
        [destination, target, `attempts ${attempts}`, lastError, lastStatus, `holds ${holds}`].join(' · '),
      ),
    async requeueAll() {
      await requeueDeadLetters(
        pool,
        (await dead()).map((one) => one.id),
        act,
      )
    },
    async discardAll() {
      await discardDeadLetters(
        pool,
        (await dead()).map((one) => one.id),
        act,
      )
    },
  }
}
