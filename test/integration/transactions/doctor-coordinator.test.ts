import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import { createRelay } from '@postcommit/relay'
import { freePort } from '@postcommit/relay/dev'
import { pino } from 'pino'
import { answerBackQueries } from 'postcommit/nats'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { httpService } from '../../support/http-service.ts'
import { privateNats } from '../../support/private-servers.ts'
import { runCli } from '../../support/run-cli.ts'
import { insertTransaction } from '../../support/transactions.ts'

let db: TestDatabase
let cwd: string

beforeAll(async () => {
  db = await database()
  cwd = await mkdtemp(join(tmpdir(), 'postcommit-doctor-'))
})
afterAll(async () => {
  await db.drop()
  await rm(cwd, { recursive: true })
})

const environment = () => ({ DATABASE_URL: db.url, POSTCOMMIT_COORDINATOR_DATABASE: 'main' })

/** What doctor says of the parts that serve global transactions, a line each. */
async function doctor(env: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const { stdout } = await runCli(['doctor', '--json'], { cwd, env: { ...environment(), ...env } })
  const { checks } = JSON.parse(stdout) as { checks: Record<'about' | 'name' | 'status' | 'detail', string>[] }
  return checks
    .filter(({ about }) => ['api', 'dtm', 'coordinator'].includes(about))
    .map(({ about, name, status, detail }) => `${status} ${about} ${name}: ${detail}`)
}

test('ports that are free, no key, nobody in doubt; then a relay that serves them, a key, and somebody in doubt', async () => {
  const [api, dtm] = [await freePort(), await freePort()]
  const env = {
    POSTCOMMIT_API_PORT: String(api),
    POSTCOMMIT_DTM_PORT: String(dtm),
    POSTCOMMIT_DTM_ENABLED: 'true',
    POSTCOMMIT_COORDINATOR_ALLOW_URLS: '127.0.0.1',
  }
  expect(await doctor(env)).toEqual([
    'ok coordinator in doubt: no transaction waits for the decision of an operator',
    'warn api keys: no key opens it, so no client can ask anything',
    'ok api exposure: only this host gets there, and every request needs a key',
    `ok api port: 127.0.0.1:${api} is free`,
    'ok dtm exposure: only this host gets there',
    `ok dtm port: 127.0.0.1:${dtm} is free`,
  ])
  for (const flags of [
    ['--label', 'old'],
    ['--expires-in', '3d', '--label', 'shop'],
  ]) {
    expect(await runCli(['api-key', 'create', ...flags], { cwd, env: environment() })).toMatchObject({ code: 0 })
  }
  await db.pool.query(`update postcommit.api_key set revoked_at = now() where label = 'old'`)
  await insertTransaction(db.pool, { dueInMs: -1000 })
  const relay = createRelay({
    db: db.url,
    coordinator: { database: 'main', urls: { allow: ['127.0.0.1'] } },
    api: { port: api },
    dtm: { port: dtm },
    log: pino({ level: 'silent' }),
  })
  await relay.start()
  const found = await doctor(env)
  await relay.stop()
  expect(found).toEqual([
    expect.stringMatching(
      /^warn coordinator in doubt: 1 prepared messages are past their check time and still undecided;/,
    ),
    'ok api keys: 1 of 1 tenants',
    expect.stringMatching(/^warn api keys: \w+ \(shop\) ends in (2\.\d|3) d$/),
    'ok api exposure: only this host gets there, and every request needs a key',
    `ok api port: a relay answers at 127.0.0.1:${api}`,
    'ok dtm exposure: only this host gets there',
    `ok dtm port: a relay answers at 127.0.0.1:${dtm}`,
  ])
})

test('a port that another program has, an address that is not of this host, and exposure that is wanted', async () => {
  await using other = await httpService(() => 200)
  const env = {
    POSTCOMMIT_API_HOST: '192.0.2.1',
    POSTCOMMIT_API_PORT: '8484',
    POSTCOMMIT_DTM_HOST: '0.0.0.0',
    POSTCOMMIT_DTM_PORT: String(other.port),
    POSTCOMMIT_DTM_ENABLED: 'true',
    POSTCOMMIT_DTM_ALLOW_EXPOSED: 'true',
    POSTCOMMIT_COORDINATOR_ALLOW_URLS: '127.0.0.1',
  }
  expect(await doctor(env)).toEqual(
    expect.arrayContaining([
      'ok api exposure: every program that reaches 192.0.2.1 gets there, and every request needs a key',
      expect.stringMatching(/^fail api port: no relay can listen on 192\.0\.2\.1:8484: .*EADDRNOTAVAIL/),
      expect.stringMatching(
        /^warn dtm exposure: every program that reaches 0\.0\.0\.0 can submit and end transactions/,
      ),
      `fail dtm port: another program answers at 0.0.0.0:${other.port}`,
    ]),
  )
})

test('subjects of back-queries on which this user may ask or not, and whether somebody answers', async () => {
  await using server = await privateNats({
    config: `authorization { users = [
  { user: relay, password: secret, permissions: { publish: ["ask.>", "$JS.API.>"], subscribe: "_INBOX.>" } }
  { user: all, password: secret }
] }`,
  })
  const service = await connect({ port: server.port, user: 'all', pass: 'secret' })
  const answers = answerBackQueries({
    connection: service,
    subject: 'ask.orders',
    db: db.pool,
    onError: () => undefined,
  })
  await service.flush()
  const env = {
    POSTCOMMIT_NATS_SERVERS: `nats://relay:secret@127.0.0.1:${server.port}`,
    POSTCOMMIT_COORDINATOR_CHECK_SUBJECTS: 'ask.orders,ask.stock,ask.*.back-query,secret.>',
  }
  const found = await doctor(env)
  await answers.stop()
  await service.close()
  expect(found.filter((line) => line.includes('subject'))).toEqual([
    'ok coordinator subject ask.orders: this user may ask on it, and is answered',
    'warn coordinator subject ask.stock: no service answers on it now',
    'ok coordinator subject ask.*.back-query: this user may ask on what it stands for',
    expect.stringMatching(/^fail coordinator subject secret\.>: Permissions Violation for Publish/),
  ])
})
