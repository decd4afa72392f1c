import { createRelay } from '@postcommit/relay'
import pg from 'pg'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { dropOldPartitions, makePartitionsAhead } from '../../../relay/housekeeping/partitions.ts'
import { requireTrustworthy } from '../../../relay/membership/trust.ts'
import { rebase } from '../../../relay/store/log/rebase.ts'
import { selectLogBacklog } from '../../../relay/store/log/select-log-backlog.ts'
import { selectPartitions } from '../../../relay/store/log/select-partitions.ts'
import { splitShards } from '../../../relay/store/log/split-shards.ts'
import {
  applyMigrations,
  migrationStatus,
  readMigrations,
  requireServableSchema,
} from '../../../relay/store/migrate.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { nats } from '../../support/nats.ts'

const log = pino({ level: 'silent' })
let db: TestDatabase

beforeEach(async () => {
  await db?.drop()
  db = await database()
})
beforeAll(() => undefined)
afterAll(() => db.drop())

const publish = (subject: string, count: number) =>
  createOutbox({ db: db.pool, wake: 'off' }).commit(async (_, message) => {
    for (let n = 0; n < count; n += 1) message.publish(subject, n, { key: `k${n}` })
  })

describe('shards', () => {
  test('splitting under a running relay loses nothing and repeats nothing', async () => {
    await using broker = await nats()
    const stream = await broker.freshStream('split')
    const relay = createRelay({ db: db.url, nats: { connection: { servers: broker.url } }, log })
    await relay.start()
    const count = async () => (await stream.manager.streams.info(stream.name)).state.messages
    await publish(`${stream.prefix}.a`, 200)
    expect(await splitShards(db.pool, 4)).toBe(4)
    await publish(`${stream.prefix}.a`, 200)
    await eventually(async () => expect(await count()).toBe(400))
    expect(await splitShards(db.pool, 2)).toBe(4)
    await eventually(() => expect(relay.health().sources[0]?.shards).toHaveLength(4))
    const { rows } = await db.pool.query('select slot_first, slot_last from postcommit.position order by shard')
    expect(rows.map(({ slot_first, slot_last }) => [slot_first, slot_last])).toEqual([
      [0, 15],
      [16, 31],
      [32, 47],
      [48, 63],
    ])
    await relay.stop()
  })
})

describe('backlog', () => {
  test('counts what the positions do not cover', async () => {
    expect(await selectLogBacklog(db.pool)).toEqual({ messages: 0, oldestAgeSeconds: 0 })
    await publish('a.b', 3)
    await splitShards(db.pool, 2)
    const backlog = await selectLogBacklog(db.pool)
    expect(backlog.messages).toBe(3)
    expect(backlog.oldestAgeSeconds).toBeGreaterThan(0)
    await db.pool.query('update postcommit.position set snapshot = pg_current_snapshot()')
    expect((await selectLogBacklog(db.pool)).messages).toBe(0)
  })
})

describe('partitions', () => {
  const names = async () => (await selectPartitions(db.pool)).map(({ name }) => name)

  test('are made ahead of the sequence, and what landed in the default one stays readable', async () => {
    await db.pool.query(`select setval('postcommit.outbox_id', 7500000)`)
    await publish('a.b', 1)
    await makePartitionsAhead(db.pool, log)
    expect(await names()).toEqual(['outbox_p0', 'outbox_p1', 'outbox_p8', 'outbox_p9'])
    await db.pool.query(`select setval('postcommit.outbox_id', 8000000)`)
    await publish('a.b', 1)
    const { rows } = await db.pool.query(
      'select relname as part from pg_class join postcommit.outbox log on log.tableoid = pg_class.oid order by id',
    )
    expect(rows.map(({ part }) => part)).toEqual(['outbox_default', 'outbox_p8'])
  })

  test('are dropped when handed on and older than the retention, never before', async () => {
    await publish('a.b', 3)
    await db.pool.query(`select setval('postcommit.outbox_id', 1000000)`)
    await dropOldPartitions(db.pool, 0, log)
    expect(await names()).toContain('outbox_p0')
    await db.pool.query('update postcommit.position set low = 1000000, snapshot = pg_current_snapshot()')
    await dropOldPartitions(db.pool, 3_600_000, log)
    expect(await names()).toContain('outbox_p0')
    await dropOldPartitions(db.pool, 0, log)
    expect(await names()).toEqual(['outbox_p1'])
  })
})

describe('a restored database', () => {
  test('is refused until it is rebased; then all of it goes out again', async () => {
    const client = await db.pool.connect()
    await publish('a.b', 2)
    await db.pool.query(`update postcommit.position set snapshot = pg_current_snapshot(), low = 2`)
    await db.pool.query('update postcommit.installation set system_identifier = 1')
    await expect(requireTrustworthy(client, 'main')).rejects.toMatchObject({ code: 'POSTCOMMIT_RESTORED_DATABASE' })
    expect(await rebase(client, 3_600_000)).toBe(2)
    await requireTrustworthy(client, 'main')
    expect((await selectLogBacklog(client)).messages).toBe(2)
    client.release()
  })
})

describe('migrations', () => {
  test('run under a lock, once, whoever else runs them at the same time', async () => {
    await using empty = await database({ migrated: false })
    const clients = await Promise.all([1, 2, 3].map(async () => new pg.Client({ connectionString: empty.url })))
    await Promise.all(clients.map((client) => client.connect()))
    const applied = await Promise.all(clients.map((client) => applyMigrations(client, 'main')))
    expect(applied.map(({ length }) => length).sort()).toEqual([0, 0, readMigrations().length])
    await Promise.all(clients.map((client) => client.end()))
  })

  test('a crash in the middle of one leaves whole migrations, and running again goes on', async () => {
    await using empty = await database({ migrated: false })
    const client = new pg.Client({ connectionString: empty.url })
    client.on('error', () => undefined)
    await client.connect()
    // The second migration fails half-way: a table of its name is in the way.
    await client.query('create schema postcommit; create table postcommit.attempt ()')
    await expect(applyMigrations(client, 'main')).rejects.toThrow('already exists')
    const { applied, pending } = await migrationStatus(client, 'main')
    expect([applied.length, pending.length]).toEqual([1, readMigrations().length - 1])
    expect((await client.query(`select to_regclass('postcommit.delivery') as t`)).rows).toEqual([{ t: null }])
    await client.query('drop table postcommit.attempt')
    await applyMigrations(client, 'main')
    await requireServableSchema(client, 'main')
    await client.end()
  })

  test('a schema that is older, newer or changed is refused with what to do', async () => {
    const { pool } = db
    await pool.query(`insert into postcommit.migration values (9999, '9999-later', '', false)`)
    await requireServableSchema(pool, 'main')
    await pool.query('update postcommit.migration set breaking = true where version = 9999')
    await expect(requireServableSchema(pool, 'main')).rejects.toMatchObject({ code: 'POSTCOMMIT_SCHEMA_TOO_NEW' })
    await pool.query('delete from postcommit.migration where version >= 4')
    await expect(requireServableSchema(pool, 'main')).rejects.toThrow('Run: postcommit migrate')
    await pool.query(`update postcommit.migration set checksum = 'other' where version = 1`)
    await expect(requireServableSchema(pool, 'main')).rejects.toMatchObject({ code: 'POSTCOMMIT_MIGRATION_CHANGED' })
  })
})

describe('trust', () => {
  test('a server that forgets what it commits, or is a standby, is refused', async () => {
    const answering = (facts: object) => ({ query: async () => ({ rows: [facts] }) }) as never
    const facts = {
      versionNumber: 150000,
      version: '15',
      standby: false,
      fsync: true,
      fullPageWrites: true,
      systemIdentifier: '1',
    }
    const trust = (change: object) => requireTrustworthy(answering({ ...facts, ...change }), 'main')
    await expect(trust({ versionNumber: 140010, version: '14.10' })).rejects.toMatchObject({
      code: 'POSTCOMMIT_UNSUPPORTED_SERVER',
    })
    await expect(trust({ standby: true })).rejects.toMatchObject({ code: 'POSTCOMMIT_NOT_PRIMARY' })
    await expect(trust({ fsync: false })).rejects.toMatchObject({ code: 'POSTCOMMIT_UNSAFE_DURABILITY' })
    await expect(trust({ fullPageWrites: false })).rejects.toThrow('full_page_writes is off')
  })
})
