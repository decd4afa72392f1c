/** A dump is restored in another cluster, or in the one that it came from; a cluster is upgraded; a database is copied. */
import { createRelay, type Relay } from '@postcommit/relay'
import type { PostgresServer } from '@postcommit/relay/dev'
import pg from 'pg'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { requireTrustworthy } from '../../../relay/membership/trust.ts'
import { selectLogBacklog } from '../../../relay/store/log/select-log-backlog.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { passTransactions, restoreDump } from '../../support/dump.ts'
import { eventually } from '../../support/eventually.ts'
import { nats, type TestNats, type TestStream } from '../../support/nats.ts'
import { privatePostgres } from '../../support/private-servers.ts'
import { runCli } from '../../support/run-cli.ts'

let fresh: PostgresServer
let db: TestDatabase
let restored: TestDatabase
let broker: TestNats
let stream: TestStream
const relays: Relay[] = []

beforeAll(async () => {
  fresh = await privatePostgres()
})
afterAll(() => fresh.stop())
beforeEach(async () => {
  broker = await nats()
  stream = await broker.freshStream('restored')
  db = await database()
  await passTransactions(db.url, 5000)
  restored = await database({ server: fresh.url, migrated: false })
})
afterEach(async () => {
  await Promise.all(relays.splice(0).map((relay) => relay.stop()))
  await Promise.all([restored.drop(), db.drop(), broker.close()])
})

async function startRelay(url: string): Promise<Relay> {
  const relay = createRelay({ db: url, nats: { connection: { servers: broker.url } }, log: pino({ level: 'silent' }) })
  relays.push(relay)
  await relay.start()
  return relay
}
const publish = (pool: pg.Pool, from: number, count: number) =>
  createOutbox({ db: pool, wake: 'off' }).commit((_, message) => {
    for (let n = from; n < from + count; n += 1) message.publish(`${stream.prefix}.a`, n, { key: `k${n % 5}` })
  })
const count = async () => (await stream.manager.streams.info(stream.name)).state.messages
const reaches = (messages: number) =>
  eventually(async () => expect(await count()).toBeGreaterThanOrEqual(messages), { timeoutMs: 20_000 })
const cli = (args: readonly string[], url: string) =>
  runCli([...args, '--json'], { env: { DATABASE_URL: url, POSTCOMMIT_NATS_SERVERS: broker.url } })

/** A log with published messages, and with others that wait; all of it two hours old. */
async function logWithWaiting(published: number, waiting: number): Promise<void> {
  await publish(db.pool, 0, published)
  const relay = await startRelay(db.url)
  await reaches(published)
  await relay.stop()
  await publish(db.pool, published, waiting)
  await db.pool.query(`update postcommit.outbox set created_at = created_at - interval '2 hours'`)
  expect(await selectLogBacklog(db.pool)).toMatchObject({ messages: waiting })
}

describe('a dump that is restored in a cluster whose transaction ids are smaller', () => {
  beforeEach(async () => {
    await logWithWaiting(300, 50)
    await restoreDump(db.url, restored.url)
  })

  test('is refused, and nothing says that all is handed on', async () => {
    const relay = createRelay({ db: restored.url, log: pino({ level: 'silent' }) })
    relays.push(relay)
    void relay.start()
    await eventually(() => expect(relay.health().sources[0]?.problem).toContain('postcommit rebase'))
    await relay.refreshMetrics()
    expect(await relay.metrics.registry.metrics()).toMatch(
      /postcommit_backlog\{source="main",destination="nats"\} Nan/i,
    )
    const status = await runCli(['status'], { env: { DATABASE_URL: restored.url } })
    expect(status.stdout).toContain('Log: not known: it was written in another PostgreSQL cluster')
    expect(status.stdout).not.toContain('everything is handed on')
    expect((await cli(['doctor'], restored.url)).stdout).toContain('written in another PostgreSQL cluster')
  })

  test.each([
    ['without --since', []],
    ['with a --since that is younger', ['--since', '1h']],
  ])('keeps what the dump had not handed on, and repeats nothing: %s', async (_, flags) => {
    expect(JSON.parse((await cli(['rebase', ...flags], restored.url)).stdout)).toEqual({ source: 'main', messages: 50 })
    expect(await selectLogBacklog(restored.pool)).toMatchObject({ messages: 50 })
    const relay = await startRelay(restored.url)
    await reaches(350)
    await eventually(async () => expect(await selectLogBacklog(restored.pool)).toMatchObject({ messages: 0 }))
    expect(await count()).toBe(350)
    const metrics = await relay.metrics.registry.metrics()
    expect(metrics).toContain('postcommit_published_total{source="main"} 50')
    await publish(restored.pool, 350, 5)
    await reaches(355)
  })

  test('publishes again what --since asks for', async () => {
    expect(JSON.parse((await cli(['rebase', '--since', '3h'], restored.url)).stdout)).toMatchObject({ messages: 350 })
    const relay = await startRelay(restored.url)
    await eventually(async () =>
      expect(await relay.metrics.registry.metrics()).toContain('postcommit_published_total{source="main"} 350'),
    )
    // The stream recognises what it has.
    expect(await count()).toBe(350)
  })

  test('keeps what was committed there before it was made readable', async () => {
    await publish(restored.pool, 350, 3)
    const client = await restored.pool.connect()
    await client.query('begin; savepoint s')
    await createOutbox({ db: restored.pool, wake: 'off' }).add(client, (message) => {
      message.publish(`${stream.prefix}.a`, 353, { key: 'k3' })
    })
    await client.query('release s; commit')
    client.release()
    expect(JSON.parse((await cli(['rebase'], restored.url)).stdout)).toMatchObject({ messages: 54 })
    await startRelay(restored.url)
    await reaches(354)
  })

  test('does not publish the whole log to a broker that has none of it', async () => {
    await cli(['rebase'], restored.url)
    await stream.manager.streams.delete(stream.name)
    await stream.manager.streams.add({ name: stream.name, subjects: [...stream.subjects] })
    await startRelay(restored.url)
    await reaches(50)
    await eventually(async () => expect(await selectLogBacklog(restored.pool)).toMatchObject({ messages: 0 }))
    expect(await count()).toBe(50)
  })
})

test('a dump that is restored in a cluster whose transaction ids are larger keeps what was waiting', async () => {
  await logWithWaiting(30, 5)
  await passTransactions(restored.url, 60_000)
  const { rows } = await db.pool.query('select pg_current_xact_id()::text as xid')
  await passTransactions(restored.url, Math.max(0, Number(rows[0].xid) - 50_000))
  await restoreDump(db.url, restored.url)
  await publish(restored.pool, 35, 2)
  expect(JSON.parse((await cli(['rebase'], restored.url)).stdout)).toMatchObject({ messages: 7 })
  await startRelay(restored.url)
  await reaches(37)
})

test('a cluster that was upgraded has another identifier and the same transaction ids: nothing is lost or repeated', async () => {
  await logWithWaiting(30, 5)
  // What pg_upgrade leaves: all rows as they are written, transaction ids that go on, and a new identifier.
  await db.pool.query('update postcommit.installation set system_identifier = 1')
  expect(JSON.parse((await cli(['rebase'], db.url)).stdout)).toMatchObject({ messages: 5 })
  const relay = await startRelay(db.url)
  await reaches(35)
  await eventually(async () => expect(await selectLogBacklog(db.pool)).toMatchObject({ messages: 0 }))
  expect(await relay.metrics.registry.metrics()).toContain('postcommit_published_total{source="main"} 5')
})

test('a database that was copied within its cluster is refused; a copy of one that no relay has served is not', async () => {
  await using template = await database()
  const copy = async (name: string) => {
    const client = new pg.Client(db.url)
    await client.connect()
    await client.query(`create database ${name}_copy template ${name}`)
    await client.end()
    const url = new URL(db.url)
    url.pathname = `/${name}_copy`
    const copied = new pg.Client(url.href)
    await copied.connect()
    return { copied, url: url.href }
  }
  await template.pool.end()
  const unserved = await copy(template.name)
  await requireTrustworthy(unserved.copied, 'main')
  await unserved.copied.end()

  const relay = await startRelay(db.url)
  await relay.stop()
  await db.pool.end()
  const served = await copy(db.name)
  await expect(requireTrustworthy(served.copied, 'main')).rejects.toThrow('was written in another database')
  expect((await cli(['rebase'], served.url)).code).toBe(0)
  await requireTrustworthy(served.copied, 'main')
  await served.copied.end()
})
