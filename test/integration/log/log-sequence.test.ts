/** The sequence of the log goes back: by setval, a restored sequence, a script that sets all sequences from their tables. */
import { createRelay, type Relay } from '@postcommit/relay'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { dropOldPartitions } from '../../../relay/housekeeping/partitions.ts'
import { findMessages } from '../../../relay/operators/find-messages.ts'
import { advanceSequence } from '../../../relay/store/log/advance-sequence.ts'
import { selectLogBacklog } from '../../../relay/store/log/select-log-backlog.ts'
import { selectPartitions } from '../../../relay/store/log/select-partitions.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { nats, type TestNats, type TestStream } from '../../support/nats.ts'

let db: TestDatabase
let broker: TestNats
let stream: TestStream
let lines: string[] = []
const relays: Relay[] = []

beforeEach(async () => {
  db = await database()
  broker = await nats()
  stream = await broker.freshStream('sequence')
  lines = []
})
afterEach(async () => {
  await Promise.all(relays.splice(0).map((relay) => relay.stop()))
  await broker.close()
  await db.drop()
})

async function startRelay(): Promise<Relay> {
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
  const relay = createRelay({ db: db.url, nats: { connection: { servers: broker.url } }, log })
  relays.push(relay)
  await relay.start()
  return relay
}

const publish = (...payloads: number[]) =>
  createOutbox({ db: db.pool }).commit((_, message) => {
    for (const payload of payloads) message.publish(`${stream.prefix}.a`, payload, { key: 'k' })
  })
const setSequence = (value: number) => db.pool.query(`select setval('postcommit.outbox_id', $1)`, [value])
const sequence = async () =>
  Number((await db.pool.query('select last_value from postcommit.outbox_id')).rows[0].last_value)

/** What the stream has, in its order. */
async function published(count: number): Promise<readonly number[]> {
  await eventually(
    async () => expect((await stream.manager.streams.info(stream.name)).state.messages).toBeGreaterThanOrEqual(count),
    { timeoutMs: 20_000 },
  )
  const { messages } = (await stream.manager.streams.info(stream.name)).state
  const stored = await Promise.all(
    Array.from({ length: messages }, (_, at) => stream.manager.streams.getMessage(stream.name, { seq: at + 1 })),
  )
  return stored.map((message) => Number(message?.string()))
}

/** A log whose first two million ids have been handed on, and whose relay is not running. */
async function wellAlong(): Promise<void> {
  await setSequence(3_000_000)
  const relay = await startRelay()
  await publish(0, 1)
  expect(await published(2)).toEqual([0, 1])
  await relay.stop()
  await db.pool.query('update postcommit.position set low = 1999999, floor = 1999999, floor_snapshot = snapshot')
}

describe('a sequence that was set back', () => {
  test('under a running relay: what is committed then is published in order, and the sequence is put right', async () => {
    await wellAlong()
    const relay = await startRelay()
    await setSequence(500)
    for (let n = 2; n < 12; n += 1) await publish(n)
    expect(await published(12)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    await eventually(async () => expect(await sequence()).toBeGreaterThan(3_000_000))
    expect(lines.join('')).toContain('the sequence of the log had gone back')
    expect(await relay.metrics.registry.metrics()).toMatch(/postcommit_sequence_setbacks_total\{source="main"\} [1-9]/)
    await publish(12)
    expect((await published(13)).at(-1)).toBe(12)
  })

  test('before a relay starts: what was committed meanwhile is published', async () => {
    await wellAlong()
    await setSequence(500)
    for (let n = 2; n < 12; n += 1) await publish(n)
    expect(await selectLogBacklog(db.pool)).toMatchObject({ messages: 10 })
    await startRelay()
    expect(await published(12)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    expect(await sequence()).toBeGreaterThan(3_000_000)
  })

  test('and put right by hand before a relay looks: what was committed in between is published', async () => {
    await wellAlong()
    await setSequence(500)
    await publish(2)
    await setSequence(3_000_100)
    await publish(3)
    await startRelay()
    expect((await published(4)).toSorted()).toEqual([0, 1, 2, 3])
  })

  test('for a moment that no read fell into: a row below the lower bound is found by the next look', async () => {
    await wellAlong()
    const relay = await startRelay()
    await eventually(() => expect(relay.health().sources[0]?.shards).toEqual([0]))
    const floor = async () => Number((await db.pool.query('select floor from postcommit.position')).rows[0].floor)
    await eventually(async () => expect(await floor()).toBeGreaterThan(77), { timeoutMs: 20_000 })
    await db.pool.query(
      `insert into postcommit.outbox (id, gid, branch, topic, slot, payload) values (77, 'moment', 1, $1, 3, '2')`,
      [`${stream.prefix}.a`],
    )
    expect(await published(3)).toEqual([0, 1, 2])
    expect(lines.join('')).toContain('below the floor')
  })

  test('from the table that retention has emptied: what is committed goes to the default partition and is published', async () => {
    await wellAlong()
    await db.pool.query('update postcommit.position set low = 3500000, floor = 1999999, floor_snapshot = snapshot')
    await db.pool.query('truncate postcommit.outbox')
    await dropOldPartitions(db.pool, 0, pino({ level: 'silent' }))
    expect((await selectPartitions(db.pool)).map(({ name }) => name)).not.toContain('outbox_p0')
    await db.pool.query(
      `select setval('postcommit.outbox_id', (select coalesce(max(id), 0) + 1 from postcommit.outbox))`,
    )
    await publish(2)
    await startRelay()
    expect(await published(3)).toEqual([0, 1, 2])
    expect(await sequence()).toBeGreaterThan(3_000_000)
  })

  test('over ids that are there: commits are refused until a relay has put the sequence right, then accepted', async () => {
    await publish(0, 1, 2)
    await setSequence(1)
    await expect(publish(3)).rejects.toMatchObject({ code: '23505' })
    await setSequence(1)
    await startRelay()
    await eventually(async () => expect(await sequence()).toBeGreaterThanOrEqual(3))
    await publish(3)
    expect(await published(4)).toEqual([0, 1, 2, 3])
  })
})

describe('putting it right', () => {
  test('does nothing to a sequence that is where it should be, and never turns it back', async () => {
    await publish(0)
    expect(await advanceSequence(db.pool)).toBeUndefined()
    await setSequence(9000)
    expect(await advanceSequence(db.pool)).toBeUndefined()
    expect(await sequence()).toBe(9000)
  })

  test('takes it beyond every id of the log and of the deliveries, and beyond the positions', async () => {
    await publish(0)
    await createOutbox({ db: db.pool, wake: 'off' }).commit((_, message) => message.call('stock', '/', 1))
    await setSequence(1)
    expect(await advanceSequence(db.pool)).toEqual({ from: 1n, to: 2n, room: 3n })
    await db.pool.query('update postcommit.position set low = 7000')
    expect(await advanceSequence(db.pool)).toEqual({ from: 2n, to: 7000n, room: 7001n })
  })

  test('two at once take it forward only', async () => {
    await db.pool.query('update postcommit.position set low = 7000')
    const found = await Promise.all(Array.from({ length: 8 }, () => advanceSequence(db.pool)))
    expect(found.filter((one) => one !== undefined)).toHaveLength(1)
  })
})

test('a partition that holds a message which is still to be handed on is not dropped, whatever the positions say', async () => {
  await setSequence(10)
  await publish(0)
  await db.pool.query('update postcommit.position set low = 5000000')
  await dropOldPartitions(db.pool, 0, pino({ level: 'silent' }))
  expect((await selectPartitions(db.pool)).map(({ name }) => name)).toContain('outbox_p0')
  await startRelay()
  expect(await published(1)).toEqual([0])
})

test('nor is one in which a message has appeared that no reader looks for, or is about to', async () => {
  await wellAlong()
  const drop = () => dropOldPartitions(db.pool, 0, pino({ level: 'silent' }))
  await setSequence(500)
  await publish(2)
  // As a publisher leaves it that has read on without looking below its floor.
  await db.pool.query('update postcommit.position set low = 3000000, snapshot = pg_current_snapshot()')
  await drop()
  const { rows } = await db.pool.query('select gid from postcommit.outbox where id between 2 and 600')
  expect(rows).toHaveLength(1)
  const { messages } = await findMessages({ source: 'main', pool: db.pool }, rows[0].gid)
  expect(messages).toMatchObject([{ state: 'waiting' }])
  const writer = await db.pool.connect()
  await writer.query('begin')
  await createOutbox({ db: db.pool, wake: 'off' }).add(writer, (message) => message.publish(`${stream.prefix}.a`, 3))
  const dropping = drop()
  await writer.query('commit')
  writer.release()
  await dropping
  await startRelay()
  expect((await published(4)).toSorted()).toEqual([0, 1, 2, 3])
})

test('a message that is set aside under an id which another delivery has is not lost', async () => {
  await createOutbox({ db: db.pool, wake: 'off' }).commit((_, message) => message.call('stock', '/', 1))
  const { rows } = await db.pool.query('select id from postcommit.delivery')
  await db.pool.query(
    `insert into postcommit.outbox (id, gid, branch, topic, slot, payload) values ($1, 'same-id', 1, 'no.stream', 3, '1')`,
    [rows[0].id],
  )
  await startRelay()
  await eventually(async () => {
    const parked = await db.pool.query(`select from postcommit.delivery where gid = 'same-id'`)
    expect(parked.rowCount).toBe(1)
  })
})
