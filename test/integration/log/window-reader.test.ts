import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { PostcommitError } from 'postcommit/protocol'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Broker } from '../../../relay/broker/broker.ts'
import type { PublishVerdict } from '../../../relay/engine/publish-ack.ts'
import { createMetrics, type Metrics } from '../../../relay/observe/metrics.ts'
import { READER_OPTIONS } from '../../../relay/postgres/sessions.ts'
import { ShardPublisher } from '../../../relay/publisher/shard-publisher.ts'
import { WindowReader } from '../../../relay/publisher/window-reader.ts'
import { savePosition } from '../../../relay/store/log/save-position.ts'
import { type TakenShard, takeShard } from '../../../relay/store/log/take-shard.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'

let db: TestDatabase
let client: pg.Client

beforeAll(async () => {
  db = await database()
  client = new pg.Client({ connectionString: db.url, options: READER_OPTIONS })
  await client.connect()
  await db.pool.query(`insert into postcommit.relay (name, version, lease_until) values ('t', '0', 'infinity')`)
})
afterAll(async () => {
  await client.end()
  await db.drop()
})
afterEach(() => db.pool.query('truncate postcommit.outbox, postcommit.delivery cascade'))

const publish = (...payloads: unknown[]) =>
  createOutbox({ db: db.pool, wake: 'off' }).commit(async (_, message) => {
    for (const payload of payloads) message.publish('a.b', payload)
  })

async function take(): Promise<TakenShard> {
  await db.pool.query('update postcommit.position set owner = null')
  const shard = await takeShard(client, 0, '1')
  if (shard === undefined) throw new Error('nobody else takes shards in this test')
  return shard
}

/** A reader that starts at the end of the log. */
async function freshReader() {
  const shard = await take()
  const reader = new WindowReader(client, shard)
  for (;;) {
    const { rows, position } = await reader.read()
    await savePosition(client, 0, shard.epoch, { ...position, ack: undefined }, [])
    if (rows.length === 0 && !reader.inBacklog) return { reader, shard }
  }
}

const ACKED: PublishVerdict = { kind: 'acked', stream: 'S', sequence: 1, duplicate: false }

/** A publisher whose broker is `publish` alone. */
function startPublisher(shard: TakenShard, metrics: Metrics, warnings: string[], publish: Broker['publish']) {
  return new ShardPublisher({
    source: 'main',
    shard,
    client,
    metrics,
    log: pino({ level: 'warn' }, { write: (line) => void warnings.push(line) }),
    inFlightMax: 1000,
    pollMs: { min: 2, max: 10 },
    onReading: () => undefined,
    onRead: () => undefined,
    onHandedOn: () => undefined,
    onOldNumber: () => undefined,
    newest: [],
    broker: {
      connected: true,
      publish,
      trouble: () => [],
      refusals: { isLookedAfter: () => false, forget: () => undefined },
      whenCleared: () => () => undefined,
      beforeResuming: () => () => undefined,
      recheck: async () => undefined,
      connection: () => Promise.reject(new Error('no connection in this test')),
      close: async () => undefined,
    },
  })
}

const payloads = async (reader: WindowReader) => (await reader.read()).rows.map(({ payload }) => Number(payload))

describe('WindowReader', () => {
  test('each committed row is read once', async () => {
    const { reader } = await freshReader()
    await publish(1, 2)
    expect(await payloads(reader)).toEqual([1, 2])
    await publish(3)
    expect(await payloads(reader)).toEqual([3])
    expect(await payloads(reader)).toEqual([])
  })

  test('an open transaction holds nobody up, and its rows come when it commits', async () => {
    const { reader } = await freshReader()
    const slow = await db.pool.connect()
    await slow.query('begin')
    await createOutbox({ db: db.pool, wake: 'off' }).add(slow, (message) => message.publish('a.b', 100))
    for (let n = 0; n < 5; n += 1) {
      await publish(n)
      expect(await payloads(reader)).toEqual([n])
    }
    await slow.query('commit')
    slow.release()
    expect(await payloads(reader)).toEqual([100])
  })

  test('rows of a transaction that rolled back are never read', async () => {
    const { reader } = await freshReader()
    const outbox = createOutbox({ db: db.pool, wake: 'off' })
    await outbox
      .commit(async (_, message) => {
        message.publish('a.b', 1)
        throw new Error('no')
      })
      .catch(() => undefined)
    await publish(2)
    expect(await payloads(reader)).toEqual([2])
  })

  test('a large window is read in pages, and a successor goes on after the last saved page', async () => {
    const { reader, shard } = await freshReader()
    await db.pool.query(`insert into postcommit.outbox (gid, branch, topic, slot, payload)
      select 'g', n, 'a.b', n % 64, n::text from generate_series(1, 9500) n`)
    const first = await reader.read()
    expect(first.rows).toHaveLength(1000)
    expect(reader.inBacklog).toBe(true)
    await savePosition(client, 0, shard.epoch, { ...first.position, ack: undefined }, [])
    await reader.read()
    await publish(-1)

    const successor = new WindowReader(client, await take())
    const seen: number[] = []
    let page = await successor.read()
    while (page.rows.length > 0 || successor.inBacklog) {
      seen.push(...page.rows.map(({ payload }) => Number(payload)))
      page = await successor.read()
    }
    expect(seen).toHaveLength(8501)
    expect(seen.slice(0, 8500)).toEqual(Array.from({ length: 8500 }, (_, n) => n + 1001))
    expect(seen[8500]).toBe(-1)
  })

  test('a window that ends on the border of a page is read whole', async () => {
    const { reader } = await freshReader()
    await db.pool.query(`insert into postcommit.outbox (gid, branch, topic, slot, payload)
      select 'g', n, 'a.b', n % 64, n::text from generate_series(1, 4000) n`)
    let count = 0
    for (let reads = 0; reads < 6; reads += 1) count += (await reader.read()).rows.length
    expect(count).toBe(4000)
    expect(reader.inBacklog).toBe(false)
  })

  test('a save of an owner that was replaced changes nothing', async () => {
    const { reader, shard } = await freshReader()
    await publish(1)
    const { position } = await reader.read()
    const { snapshot } = await take()
    expect(snapshot).not.toBe(position.snapshot)
    expect(await savePosition(client, 0, shard.epoch, { ...position, ack: undefined }, [])).toBeUndefined()
    const { rows } = await db.pool.query<{ snapshot: string }>('select snapshot::text from postcommit.position')
    expect(rows[0]?.snapshot).toBe(snapshot)
  })

  test('an owner that was replaced cannot save a page of a large window either', async () => {
    const { reader, shard } = await freshReader()
    await db.pool.query(`insert into postcommit.outbox (gid, branch, topic, slot, payload)
      select 'g', n, 'a.b', n % 64, n::text from generate_series(1, 3000) n`)
    const { position } = await reader.read()
    expect(reader.inBacklog).toBe(true)
    const successor = await take()
    expect(await savePosition(client, 0, shard.epoch, { ...position, ack: undefined }, [])).toBeUndefined()
    expect(successor).toMatchObject({ windowSnapshot: null, windowId: null })
    expect((await new WindowReader(client, successor).read()).rows[0]?.payload).toBe('1')
  })

  test('a publisher that was replaced while it published saves nothing and ends, saying that it is fenced', async () => {
    await freshReader()
    const shard = await take()
    await publish(1)
    const warnings: string[] = []
    const metrics = createMetrics()
    // The acknowledgement comes when another relay has the shard.
    const publisher = startPublisher(shard, metrics, warnings, (_, settle) => void take().then(() => settle(ACKED)))
    expect(await publisher.ended).toBe('fenced')
    expect(warnings.join()).toContain(new PostcommitError('POSTCOMMIT_FENCED', { what: 'shard 0' }).message)
    expect((await metrics.fencedWrites.get()).values[0]?.value).toBe(1)
    expect((await take()).snapshot).toBe(shard.snapshot)
  })

  test('a publisher whose broker does not acknowledge reads a bounded amount of content', async () => {
    await freshReader()
    const shard = await take()
    await db.pool.query(`insert into postcommit.outbox (gid, branch, topic, slot, payload)
      select 'large', n, 'a.b', n % 64, to_jsonb(repeat('x', 500000))::text from generate_series(1, 120) n`)
    const held: (() => void)[] = []
    const publisher = startPublisher(shard, createMetrics(), [], (_, settle) => void held.push(() => settle(ACKED)))
    // Three pages of 8 MiB. Each message that is acknowledged later makes room for no more than that again.
    await eventually(() => expect(held.length).toBeGreaterThanOrEqual(48), { timeoutMs: 20_000 })
    await sleep(200)
    for (let settled = 0; settled < 120; settled += 1) {
      expect(held.length - settled).toBeLessThanOrEqual(70)
      await eventually(() => expect(held.length).toBeGreaterThan(settled), { timeoutMs: 20_000 })
      held[settled]?.()
    }
    await publisher.stop(5000)
    expect(await publisher.ended).toBe('stopped')
  })

  test('the lower bound rises past handed-on rows, so a read touches the newest partitions only', async () => {
    const { reader, shard } = await freshReader()
    const outbox = createOutbox({ db: db.pool, wake: 'off' })
    // A transaction that is open anywhere in the cluster, in another test perhaps, keeps the bound down for as long.
    const deadline = performance.now() + 45_000
    for (let low = 0n, n = 0; low === 0n && performance.now() < deadline; n += 1) {
      await outbox.commit(async (_, message) => void message.publish('a.b', n))
      const { position } = await reader.read()
      low = position.low
      const sequence = reader.sequence
      const xid = await savePosition(client, 0, shard.epoch, { ...position, ack: undefined }, [])
      if (sequence === undefined || xid === undefined) throw new Error('nobody else takes shards in this test')
      reader.mark(sequence, xid)
    }
    await publish(6)
    const { rows, position } = await reader.read()
    expect(rows).toHaveLength(1)
    expect(position.low).toBeGreaterThan(0n)
    expect(position.low).toBeLessThan(BigInt(rows[0]?.id ?? 0))
  })

  test('a parked row is in delivery under its own id', async () => {
    const { reader, shard } = await freshReader()
    await publish({ n: 1 })
    const { rows, position } = await reader.read()
    const parked = rows.map(({ id }) => ({ id, error: 'no stream takes a.b', dead: undefined }))
    await savePosition(client, 0, shard.epoch, { ...position, ack: undefined }, parked)
    await savePosition(client, 0, shard.epoch, { ...position, ack: undefined }, parked)
    const { rows: deliveries } = await db.pool.query(
      'select id, destination, target, payload, last_error from postcommit.delivery',
    )
    const expected = {
      id: rows[0]?.id,
      destination: 'nats',
      target: 'a.b',
      payload: '{"n":1}',
      last_error: 'no stream takes a.b',
    }
    expect(deliveries).toEqual([expected])
  })

  test('under concurrent writers with transactions of every length nothing is lost and nothing is read twice', async () => {
    const { reader } = await freshReader()
    const outbox = createOutbox({ db: db.pool, wake: 'off' })
    let writing = true
    let committed = 0
    const writers = Array.from({ length: 6 }, async (_, writer) => {
      for (let n = 0; n < 40; n += 1) {
        await outbox.commit(async (tx, message) => {
          await tx.query('select pg_current_xact_id(), pg_sleep($1)', [Math.random() * 0.02])
          message.publish('a.b', writer * 1000 + n)
        })
        committed += 1
      }
    })
    const done = Promise.all(writers).then(() => {
      writing = false
    })
    const seen: number[] = []
    while (writing || seen.length < committed) {
      // What is committed while a read is under way is in the next one.
      const isLast = !writing
      const batch = await payloads(reader)
      seen.push(...batch)
      if (isLast && batch.length === 0) break
    }
    await done
    expect(seen).toHaveLength(240)
    expect(new Set(seen).size).toBe(240)
  })
})
