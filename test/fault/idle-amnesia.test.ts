/** G6 without traffic: what a broker has lost is found although nothing is published, and it is told. */
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { jetstreamManager } from '@nats-io/jetstream'
import { createRelay, type NatsOptions, type Relay } from '@postcommit/relay'
import type { NatsServer } from '@postcommit/relay/dev'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { CACHE_STREAM, NATS_MESSAGE_ID } from 'postcommit/protocol'
import { describe, expect, type TestContext, test } from 'vitest'
import { relayOptions } from '../../relay/commands/shell/relay-options.ts'
import { loadConfig } from '../../relay/config/load.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { nats, type TestNats } from '../support/nats.ts'
import { privateNats } from '../support/private-servers.ts'

const STREAM = 'ORDERS'
/** Half a minute, and room for a machine that has other work. */
const FOUND = { timeoutMs: 90_000, everyMs: 300 }

interface Stage {
  readonly db: TestDatabase
  readonly server: NatsServer
  readonly broker: TestNats
  readonly relay: Relay
  /** Of level error, parsed. */
  readonly errors: Record<string, unknown>[]
}

async function stage(
  { onTestFinished }: TestContext,
  streams: NonNullable<NatsOptions['streams']>,
  retentionMs?: number,
): Promise<Stage> {
  const db = await database()
  const server = await privateNats()
  const broker = await nats(server.url)
  const errors: Record<string, unknown>[] = []
  const log = pino({ level: 'error' }, { write: (line) => errors.push(JSON.parse(line)) })
  const connection = { servers: server.url, reconnectTimeWait: 50 }
  const relay = createRelay({ db: db.url, nats: { connection, streams }, log, ...(retentionMs && { retentionMs }) })
  onTestFinished(async () => {
    await relay.stop()
    await broker.close()
    await server.stop()
    await db.drop()
  })
  await relay.start()
  return { db, server, broker, relay, errors }
}

async function commit({ db }: Stage, count: number, subject = 'orders.placed'): Promise<void> {
  const outbox = createOutbox({ db: db.pool })
  for (let n = 1; n <= count; n += 1) {
    await outbox.commit((_, message) => message.publish(subject, { n }, { key: `k${n % 3}` }))
  }
}

/** How many different messages a stream holds; undefined: there is no such stream. */
async function held({ broker }: Stage, stream = STREAM): Promise<number | undefined> {
  const manager = await jetstreamManager(broker.connection, { checkAPI: false })
  const info = await manager.streams.info(stream).catch(() => undefined)
  if (info === undefined) return undefined
  const ids = new Set<string>()
  for (let seq = Math.max(1, info.state.first_seq); seq <= info.state.last_seq; seq += 1) {
    const message = await manager.streams.getMessage(stream, { seq })
    ids.add(message?.header.get(NATS_MESSAGE_ID) ?? '')
  }
  return ids.size
}

const deleteStream = async ({ broker }: Stage, stream = STREAM) =>
  await (await jetstreamManager(broker.connection)).streams.delete(stream)
const told = ({ errors }: Stage, text: string) => errors.filter(({ msg }) => String(msg).includes(text))
const metric = async ({ relay }: Stage, name: string) => {
  const values = (await relay.metrics.registry.getSingleMetric(name)?.get())?.values ?? []
  return values.reduce((sum, { value }) => sum + value, 0)
}

const create = [{ name: STREAM, subjects: ['orders.>'], create: true }]
const LOST = 'the broker has lost what it acknowledged'
const GONE = 'a stream is gone'

describe.concurrent('nothing is published, and', { timeout: 300_000 }, () => {
  test('the store of the broker is removed', async (context) => {
    const on = await stage(context, create)
    await commit(on, 20)
    await eventually(async () => expect(await held(on)).toBe(20), FOUND)
    await on.server.kill()
    await rm(on.server.storeDir, { recursive: true })
    await on.server.start()
    await eventually(async () => expect(await held(on)).toBe(20), FOUND)
    expect(told(on, GONE)).toEqual([expect.objectContaining({ stream: STREAM })])
    expect(told(on, LOST)).toEqual([expect.objectContaining({ streams: [STREAM] })])
    expect(await metric(on, 'postcommit_streams_lost_total')).toBe(1)
    expect(await metric(on, 'postcommit_broker_regressions_total')).toBe(1)
    expect(await metric(on, 'postcommit_stream_missing')).toBe(0)
  })

  test('a stream is deleted that relays may create', async (context) => {
    const on = await stage(context, create)
    await commit(on, 20)
    await eventually(async () => expect(await held(on)).toBe(20), FOUND)
    await deleteStream(on)
    await eventually(async () => expect(await held(on)).toBe(20), FOUND)
    expect(told(on, GONE)).toEqual([expect.objectContaining({ stream: STREAM })])
    expect(told(on, LOST)).toEqual([expect.objectContaining({ streams: [STREAM] })])
    // The order of what follows is that of the log: the old ones went first.
    await commit(on, 1)
    await eventually(async () => expect(await held(on)).toBe(21), FOUND)
    expect(told(on, LOST)).toHaveLength(1)
  })

  test('a stream is deleted that only its operator creates', async (context) => {
    const on = await stage(context, [])
    const streams = (await jetstreamManager(on.broker.connection)).streams
    await streams.add({ name: STREAM, subjects: ['orders.>'] })
    await commit(on, 20)
    await eventually(async () => expect(await held(on)).toBe(20), FOUND)
    await deleteStream(on)
    await eventually(() => expect(told(on, GONE)).toEqual([expect.objectContaining({ stream: STREAM })]), FOUND)
    expect(await held(on)).toBeUndefined()
    expect(await metric(on, 'postcommit_stream_missing')).toBe(1)
    expect(on.relay.health().nats.problem).toContain(STREAM)
    // Not one message is set aside for it.
    const { rows } = await on.db.pool.query('select count(*)::int as parked from postcommit.delivery')
    expect(rows).toEqual([{ parked: 0 }])
    await streams.add({ name: STREAM, subjects: ['orders.>'] })
    await eventually(async () => expect(await held(on)).toBe(20), FOUND)
    await eventually(async () => expect(await metric(on, 'postcommit_stream_missing')).toBe(0), FOUND)
    expect(on.relay.health().nats.problem).toBeUndefined()
    expect(told(on, GONE)).toHaveLength(1)
  })

  test('the stream of the invalidations of caches is deleted', async (context) => {
    const { config } = loadConfig({
      cwd: tmpdir(),
      env: { POSTCOMMIT_NATS_SERVERS: 'a', POSTCOMMIT_NATS_CACHE_STREAM: 'true' },
      flags: {},
    })
    const streams = relayOptions(config, tmpdir()).nats?.streams ?? []
    const on = await stage(context, streams)
    await deleteStream(on, CACHE_STREAM)
    await eventually(async () => expect(await held(on, CACHE_STREAM)).toBe(0), FOUND)
    expect(told(on, GONE)).toEqual([expect.objectContaining({ stream: CACHE_STREAM })])
  })

  test('what is older than the retention is not published again', async (context) => {
    const on = await stage(context, create, 600_000)
    await commit(on, 20)
    await eventually(async () => expect(await held(on)).toBe(20), FOUND)
    await on.db.pool.query(`update postcommit.outbox set created_at = now() - interval '30 days' where id <= 12`)
    await deleteStream(on)
    await eventually(async () => expect(await held(on)).toBe(8), FOUND)
    expect(told(on, LOST)).toEqual([expect.objectContaining({ leftOut: 12 })])
    await commit(on, 1)
    await eventually(async () => expect(await held(on)).toBe(9), FOUND)
  })

  test('the relay asks the broker little', async (context) => {
    const on = await stage(context, [...create, { name: 'BILLS', subjects: ['bills.>'], create: true }])
    await commit(on, 20)
    await commit(on, 5, 'bills.sent')
    await eventually(async () => expect([await held(on), await held(on, 'BILLS')]).toEqual([20, 5]), FOUND)
    const asked: string[] = []
    const watched = on.broker.connection.subscribe('$JS.API.>', {
      callback: (_, { subject }) => void asked.push(subject),
    })
    await new Promise((resolve) => setTimeout(resolve, 65_000))
    watched.unsubscribe()
    // Two or three rounds: each stream is looked at, its messages are not.
    expect(asked.length).toBeGreaterThanOrEqual(4)
    expect(asked.length).toBeLessThanOrEqual(16)
    expect(asked.filter((subject) => subject.includes('MSG.GET')).length).toBeLessThanOrEqual(2)
  })
})
