import { createRelay, type Relay } from '@postcommit/relay'
import pg from 'pg'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { dropOldPartitions } from '../../../relay/housekeeping/partitions.ts'
import {
  DISPATCHER_OPTIONS,
  MEMBER_OPTIONS,
  READER_OPTIONS,
  REDIS_OUTBOX_OPTIONS,
} from '../../../relay/postgres/sessions.ts'
import { endRelaySessions, relaySessionName } from '../../../relay/store/member/end-relay-sessions.ts'
import { applyMigrations } from '../../../relay/store/migrate.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { nats, type TestNats, type TestStream } from '../../support/nats.ts'

const log = pino({ level: process.env['LOG'] ?? 'silent' })
let db: TestDatabase
const closers: (() => unknown)[] = []

beforeEach(async () => {
  db = await database()
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  await db.drop()
})

/** A session of somebody else, in a transaction. */
async function stranger(statement: string, url = db.url): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: 'a backup' })
  client.on('error', () => undefined)
  await client.connect()
  closers.push(() => client.end())
  await client.query(`begin; ${statement}`)
  return client
}

/** Rows of the first partition that are handed on and past any retention. */
async function expire(): Promise<void> {
  await createOutbox({ db: db.pool, wake: 'off' }).commit((_, message) => void message.publish('a.b', 1))
  await db.pool.query(`update postcommit.outbox set created_at = created_at - interval '1 day'`)
  await db.pool.query('update postcommit.position set low = 1000000, snapshot = pg_current_snapshot()')
}

const partitions = async () =>
  (
    await db.pool.query<{ name: string }>(
      `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'postcommit.outbox'::regclass order by 1`,
    )
  ).rows.map(({ name }) => name)

describe('partitions past their retention', () => {
  test('one that a session has open is left alone, and nobody waits behind it', async () => {
    await expire()
    const backup = await stranger('lock table postcommit.outbox in access share mode')
    await db.pool.query('select pg_sleep(1.1)')
    const client = await db.pool.connect()
    closers.push(() => client.release())
    // It comes back while the lock is held.
    const overdue = await dropOldPartitions(client, 1000, log)
    expect(overdue).toEqual({
      name: 'outbox_p0',
      holders: [expect.objectContaining({ application: 'a backup', ageMs: expect.any(Number) })],
    })
    expect(await partitions()).toContain('postcommit.outbox_p0')
    await backup.query('commit')
    expect(await dropOldPartitions(client, 1000, log)).toBeUndefined()
    expect(await partitions()).not.toContain('postcommit.outbox_p0')
  })

  test('a lock that was taken a moment ago is waited for no longer than a moment', async () => {
    await expire()
    await stranger('lock table postcommit.outbox_p0 in access share mode')
    const client = await db.pool.connect()
    const overdue = await dropOldPartitions(client, 1000, log).finally(() => client.release())
    expect(overdue).toEqual({ name: 'outbox_p0', holders: [] })
  })
})

describe('sessions of a relay', () => {
  test.each([
    ['reader', READER_OPTIONS],
    ['dispatcher', DISPATCHER_OPTIONS],
    ['member', MEMBER_OPTIONS],
    ['outbox in Redis', REDIS_OUTBOX_OPTIONS],
  ])('the %s waits for a lock with a limit', async (_, options) => {
    const client = new pg.Client({ connectionString: db.url, options })
    await client.connect()
    closers.push(() => client.end())
    const { rows } = await client.query(`select current_setting('lock_timeout') as limit`)
    expect(rows).toEqual([{ limit: '5s' }])
  })

  test('the sessions of a relay of another database are not ended', async () => {
    await using other = await database()
    const open = async (url: string) => {
      const client = new pg.Client({ connectionString: url, application_name: relaySessionName('1') })
      client.on('error', () => undefined)
      await client.connect()
      closers.push(() => client.end().catch(() => undefined))
      return client
    }
    await open(db.url)
    const elsewhere = await open(other.url)
    expect(await endRelaySessions(db.pool, '1')).toBe(1)
    expect((await elsewhere.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  })
})

describe('migrations', () => {
  test('a table in use is asked for again and again, and not waited for', async () => {
    // Makes this index and nothing else.
    await db.pool.query('drop index postcommit.global_transaction_asked')
    await db.pool.query('delete from postcommit.migration where version = 9')
    const backup = await stranger('lock table postcommit.global_transaction in row exclusive mode')
    const client = new pg.Client({ connectionString: db.url })
    await client.connect()
    closers.push(() => client.end())
    await expect(applyMigrations(client, 'main', 1500)).rejects.toMatchObject({ code: 'POSTCOMMIT_MIGRATION_LOCKED' })
    const migrating = applyMigrations(client, 'main')
    await backup.query('commit')
    expect((await migrating).map(({ version }) => version)).toEqual([9])
  })

  test('another run is not waited for without end', async () => {
    await stranger('select pg_advisory_xact_lock(8107365743)')
    const client = new pg.Client({ connectionString: db.url })
    await client.connect()
    closers.push(() => client.end())
    await expect(applyMigrations(client, 'main', 300)).rejects.toMatchObject({ code: 'POSTCOMMIT_MIGRATION_LOCKED' })
  })
})

describe('a relay', () => {
  let broker: TestNats
  let stream: TestStream
  let relay: Relay

  beforeEach(async () => {
    broker = await nats()
    closers.push(() => broker.close())
    stream = await broker.freshStream('locks')
    // Small partitions, so that one is full soon.
    await db.pool.query('drop table postcommit.outbox_p0, postcommit.outbox_p1')
    await db.pool.query('update postcommit.installation set partition_size = 1000')
    relay = createRelay({
      db: db.url,
      nats: { connection: { servers: broker.url } },
      retentionMs: 1000,
      drainMs: 500,
      log,
    })
    closers.push(() => relay.stop())
    await relay.start()
    await eventually(async () => expect(await partitions()).toContain('postcommit.outbox_p2'))
  })

  const commit = () =>
    createOutbox({ db: db.pool }).commit((_, message) => void message.publish(`${stream.prefix}.a`, 1))
  const published = async () => (await stream.manager.streams.info(stream.name)).state.messages

  test('publishes beside a backup that keeps an expired partition open', async () => {
    const outbox = createOutbox({ db: db.pool })
    for (const part of [600, 600]) {
      await outbox.commit((_, message) => {
        for (let n = 0; n < part; n += 1) message.publish(`${stream.prefix}.a`, n)
      })
    }
    await eventually(async () => expect(await published()).toBe(1200))
    await stranger('lock table postcommit.outbox in access share mode')
    await db.pool.query(`update postcommit.outbox set created_at = created_at - interval '1 day'`)
    const gauge = async () => (await relay.metrics.partitionOverdue.get()).values[0]?.value
    await eventually(async () => expect(await gauge()).toBeGreaterThan(0), { timeoutMs: 30_000 })
    await commit()
    await eventually(async () => expect(await published()).toBe(1201))
  })

  test('says so when its log is locked: what it cannot read it does not know', async () => {
    await commit()
    await eventually(async () => expect(await published()).toBe(1))
    const backlog = async () => {
      await relay.refreshMetrics()
      return (await relay.metrics.backlog.get()).values.map(({ value }) => value)
    }
    await eventually(async () => expect(await backlog()).toEqual([0]))
    const administrator = await stranger('lock table postcommit.outbox in access exclusive mode')
    expect(await backlog()).toEqual([Number.NaN])
    const age = () => relay.health().sources[0]?.readAgeMs ?? 0
    await eventually(() => expect(age()).toBeGreaterThan(6000), { timeoutMs: 30_000 })
    expect(relay.health().sources[0]?.problem).toMatch(/the log cannot be read/)
    await administrator.query('rollback')
    await eventually(() => expect(age()).toBeLessThan(2000), { timeoutMs: 30_000 })
    await eventually(async () => expect(await backlog()).toEqual([0]))
  })
})
