/** An older copy of the data serves in the place of the database, or beside it. */
import { cpSync, rmSync } from 'node:fs'
import { createRelay, type Relay } from '@postcommit/relay'
import { type PostgresServer, startPostgres } from '@postcommit/relay/dev'
import pg from 'pg'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { PostcommitError } from 'postcommit/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { selectLogBacklog } from '../../../relay/store/log/select-log-backlog.ts'
import { applyMigrations } from '../../../relay/store/migrate.ts'
import { eventually } from '../../support/eventually.ts'
import { nats, type TestNats, type TestStream } from '../../support/nats.ts'
import { copyData, failOver, PROMOTABLE } from '../../support/older-copy.ts'
import { postgresSource } from '../../support/postgres-source.ts'
import { privateNats, privatePostgres } from '../../support/private-servers.ts'
import { runCli } from '../../support/run-cli.ts'

let server: PostgresServer
let pool: pg.Pool
let broker: TestNats
let stream: TestStream
let lines: string[] = []
const relays: Relay[] = []

beforeEach(async () => {
  broker = await nats()
  stream = await broker.freshStream('failover')
  server = await privatePostgres({ settings: PROMOTABLE })
  pool = openPool(server.url)
  const client = await pool.connect()
  await applyMigrations(client, 'main')
  client.release()
  lines = []
})
afterEach(async () => {
  await Promise.all(relays.splice(0).map((relay) => relay.stop()))
  await pool.end()
  await Promise.all([server[Symbol.asyncDispose](), broker.close()])
})

function openPool(url: string): pg.Pool {
  const opened = new pg.Pool({ connectionString: url, max: 4 })
  opened.on('error', () => undefined)
  return opened
}
function createTestRelay(url = server.url, servers = broker.url, leaseMs = 10_000): Relay {
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
  const relay = createRelay({ db: url, nats: { connection: { servers } }, log, leaseMs, drainMs: 2000 })
  relays.push(relay)
  return relay
}
async function startRelay(): Promise<Relay> {
  const relay = createTestRelay()
  await relay.start()
  return relay
}
async function publish(count: number, to = pool): Promise<string> {
  const receipt = await createOutbox({ db: to, wake: 'off' }).commit((_, message) => {
    for (let n = 0; n < count; n += 1) message.publish(`${stream.prefix}.a`, n, { key: 'k' })
  })
  return receipt.gid
}
const reaches = (messages: number, of = stream) =>
  eventually(
    async () => expect((await of.manager.streams.info(of.name)).state.messages).toBeGreaterThanOrEqual(messages),
    { timeoutMs: 30_000 },
  )
const cli = (args: readonly string[], url = server.url) =>
  runCli(args, { env: { DATABASE_URL: url, POSTCOMMIT_NATS_SERVERS: broker.url } })
const history = async () =>
  JSON.parse((await cli(['doctor', '--json'])).stdout).checks.find(({ name }: { name: string }) => name === 'history')

/** What an operator is shown and does after a fail-over that has lost the transactions with these gids. */
async function expectTold(relay: Relay, lost: readonly string[], doubt: string): Promise<void> {
  await eventually(() => expect(lines.join('')).toContain('committed transactions may be missing'), {
    timeoutMs: 30_000,
  })
  await eventually(async () => {
    await relay.refreshMetrics()
    expect(relay.health().sources[0]?.doubt).toContain(doubt)
  })
  expect(await relay.metrics.registry.metrics()).toContain('postcommit_history_doubt{source="main"} 1')
  expect(await history()).toMatchObject({ status: 'fail', detail: expect.stringContaining(doubt) })
  expect((await cli(['status'])).stdout).toContain('In doubt: ')

  const audit = await cli(['audit', '--json'])
  expect(audit.code).toBe(lost.length === 0 ? 0 : 1)
  expect(JSON.parse(audit.stdout).missing.map(({ gid }: { gid: string }) => gid)).toEqual(lost)
  expect((await cli(['audit', '--acknowledge'])).stdout).toContain('main: acknowledged: ')
  expect(await history()).toMatchObject({ status: 'ok' })
  await relay.refreshMetrics()
  expect(await relay.metrics.registry.metrics()).toContain('postcommit_history_doubt{source="main"} 0')
}

describe('an older copy of the data takes the place of the database', () => {
  test.each([
    { promoted: true, doubt: 'a standby was promoted (timeline 1 to 2)' },
    { promoted: false, doubt: 'what was handed on is not there any more' },
  ])('while a relay runs: it says so, names what is gone, and goes on publishing: %j', async ({ promoted, doubt }) => {
    await publish(3)
    const before = await startRelay()
    await reaches(3)
    await before.stop()
    const copy = await copyData(server)
    const relay = await startRelay()
    const lost: string[] = []
    for (let n = 0; n < 5; n += 1) lost.push(await publish(1))
    await reaches(8)
    await failOver(server, copy, { promoted })
    await eventually(() => expect(lines.join('')).toContain('what was handed on is not there any more'), {
      timeoutMs: 30_000,
    })
    await publish(2)
    await reaches(10)
    await expectTold(relay, lost, doubt)
  })

  test('while no relay runs: the next one says so when it starts', async () => {
    const first = await startRelay()
    await publish(3)
    await reaches(3)
    await first.stop()
    const copy = await copyData(server)
    const second = await startRelay()
    const lost = await publish(1)
    await reaches(4)
    await second.stop()
    await failOver(server, copy, { promoted: true })
    await expectTold(await startRelay(), [lost], 'a standby was promoted (timeline 1 to 2)')
  })

  test('and what is lost are transactions without messages: the log of the server is shorter', async () => {
    const copy = await copyData(server)
    const relay = createTestRelay(server.url, broker.url, 1500)
    await relay.start()
    await pool.query('create table lost as select generate_series(1, 100000) as id')
    // It has looked at the server since: it does with every renewal of its lease.
    const renewed = async () =>
      (await pool.query<{ n: string }>(`select extract(epoch from max(lease_until)) as n from postcommit.relay`))
        .rows[0]?.n
    for (let renewals = 0; renewals < 2; renewals += 1) {
      const before = await renewed()
      await eventually(async () => expect(await renewed()).not.toBe(before), { timeoutMs: 20_000 })
    }
    await failOver(server, copy, { promoted: false })
    await expectTold(relay, [], 'the write-ahead log is shorter than it was')
  })

  test('and nothing is said after a restart', async () => {
    const relay = await startRelay()
    await publish(3)
    await reaches(3)
    await server.kill()
    await server.start()
    await publish(1)
    await reaches(4)
    await relay.refreshMetrics()
    expect(relay.health().sources[0]).toMatchObject({ problem: undefined, doubt: undefined })
    expect(lines.join('')).not.toContain('may be missing')
  })
})

test('a copy of the data beside the original, with a broker of its own, publishes nothing until it is told what', async () => {
  await publish(30)
  // The second one finds what the first was acknowledged.
  for (let n = 0; n < 2; n += 1) {
    const relay = await startRelay()
    await reaches(30)
    await eventually(async () => expect(await selectLogBacklog(pool)).toMatchObject({ messages: 0 }))
    await eventually(() => expect(relay.health().sources[0]?.shards).toEqual([0]))
    await relay.stop()
  }
  const dataDir = await copyData(server)
  cpSync(`${server.dataDir}.password`, `${dataDir}.password`)
  await using staging = await startPostgres({ dataDir, binaries: postgresSource(), settings: PROMOTABLE })
  await using emptyServer = await privateNats()
  await using empty = await nats(emptyServer.url)
  const manager = (await empty.freshStream()).manager
  await manager.streams.add({ name: stream.name, subjects: [...stream.subjects] })
  const copied = { ...stream, manager }
  const stagingPool = openPool(staging.url)
  await publish(4, stagingPool)

  const relay = createTestRelay(staging.url, empty.url)
  await relay.start()
  const { rows } = await pool.query('select place as former from postcommit.installation')
  const refusal = new PostcommitError('POSTCOMMIT_COPIED_DATABASE', { database: 'main', former: rows[0].former })
  await eventually(() => expect(relay.health().sources[0]?.problem).toBe(refusal.message), { timeoutMs: 20_000 })
  expect((await manager.streams.info(stream.name)).state.messages).toBe(0)
  expect(lines.join('')).toContain('the broker has nothing of what it published there')
  expect((await cli(['doctor'], staging.url)).stdout).toMatch(/fail +main +history/)
  await relay.stop()
  expect((await cli(['rebase'], staging.url)).stdout).toContain('4 messages are to be published')
  const told = createTestRelay(staging.url, empty.url)
  await told.start()
  await reaches(4, copied)
  await eventually(async () => expect(await selectLogBacklog(stagingPool)).toMatchObject({ messages: 0 }))
  expect((await manager.streams.info(stream.name)).state.messages).toBe(4)
  expect(told.health().sources[0]?.problem).toBeUndefined()
  await told.stop()
  await stagingPool.end()
  // The original goes on as if nothing had been.
  await startRelay()
  await publish(1)
  await reaches(31)
  await staging.stop()
  rmSync(dataDir, { recursive: true, force: true })
})
