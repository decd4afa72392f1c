import { connect } from '@nats-io/transport-node'
import { createRelay } from '@postcommit/relay'
import { connect as connectOld } from 'nats'
import type pg from 'pg'
import { pino } from 'pino'
import { createOutbox, createRelayClient, type RelayClient } from 'postcommit'
import { answerBackQueries, type NatsConnectionLike } from 'postcommit/nats'
import { describe, expect, test } from 'vitest'
import { type TestApi, testApi } from '../../support/api.ts'
import { gidOf, messageTo } from '../../support/coordinators.ts'
import { database } from '../../support/database.ts'
import { nats } from '../../support/nats.ts'

type Closing = { close(): Promise<void> }

test('a service is asked over NATS, and a branch is a message of JetStream', async () => {
  await using db = await database()
  await using server = await nats()
  const stream = await server.freshStream()
  const asked: string[] = []
  const subject = `asked-${stream.prefix}`
  server.connection.subscribe(subject, {
    callback(_, message) {
      const question = message.json<{ gid: string; nonce: string }>()
      asked.push(question.gid)
      const outcome = question.gid.startsWith('lost') ? 'aborted' : 'committed'
      message.respond(JSON.stringify({ gid: question.gid, nonce: question.nonce, outcome }))
    },
  })
  const relay = createRelay({
    db: db.url,
    nats: { connection: { servers: server.url } },
    coordinator: { database: 'main', checkSubjects: ['*'] },
    log: pino({ level: 'silent' }),
  })
  await relay.start()
  try {
    const { transactions } = relay
    if (transactions === undefined) throw new Error('nothing is coordinated')
    const branches = [
      { branch: 'placed', ops: { action: { subject: `${stream.prefix}.placed` } }, payload: '{"n":1}' },
      { branch: 'paid', ops: { action: { subject: `${stream.prefix}.paid` } }, payload: '{"n":2}' },
    ]
    const [committed, lost] = [gidOf('committed'), gidOf('lost')]
    const backQuery = { target: { subject }, checkAfterMs: 300 }
    for (const gid of [committed, lost]) {
      await transactions.perform({ do: 'prepare', gid, transaction: messageTo({ branches, backQuery }) })
    }
    expect(await transactions.perform({ do: 'query', gid: committed, waitMs: 10_000 })).toMatchObject({
      outcome: 'done',
    })
    expect(await transactions.perform({ do: 'query', gid: lost, waitMs: 10_000 })).toMatchObject({ outcome: 'failed' })
    expect(asked.sort()).toEqual([committed, lost])
    const { state } = await stream.manager.streams.info(stream.name)
    expect(state.messages).toBe(2)
    const [first, second] = await Promise.all(
      [1, 2].map((seq) => stream.manager.streams.getMessage(stream.name, { seq })),
    )
    expect(first?.header.get('Nats-Msg-Id')).toBe(`${committed}:1`)
    expect(first?.header.get('postcommit-branch-name')).toBe('placed')
    expect(second?.header.get('Nats-Msg-Id')).toBe(`${committed}:2`)
    expect(second?.string()).toBe('{"n":2}')
  } finally {
    await relay.stop()
  }
})

/** A service whose process dies between COMMIT and the release, so that only the question tells what became of it. */
async function commitsAndDies(db: pg.Pool, relay: RelayClient, subject: string, topic: string): Promise<string> {
  const dying: RelayClient = { ...relay, submit: () => new Promise(() => undefined) }
  const outbox = createOutbox({ db, relay: dying, backQuery: { subject }, checkAfterMs: 200 })
  return (await outbox.commit((_, message) => message.publish(topic, { n: 1 }))).gid
}

describe.each([
  ['@nats-io/transport-node', (url: string) => connect({ servers: url }) as Promise<NatsConnectionLike & Closing>],
  ['nats 2.x', (url: string) => connectOld({ servers: url }) as Promise<NatsConnectionLike & Closing>],
])('a service that is asked over NATS, with %s', (_, open) => {
  test('answers from its database, by one of its processes', async () => {
    await using db = await database()
    await using server = await nats()
    const stream = await server.freshStream()
    const connections = [await open(server.url), await open(server.url)]
    const subject = `${stream.prefix}-service.back-query`
    const answers = connections.map((connection) => answerBackQueries({ connection, subject, db: db.pool }))
    await Promise.all(connections.map((connection) => connection.flush()))
    const relay = createRelay({
      db: db.url,
      nats: { connection: { servers: server.url } },
      coordinator: { database: 'main', checkSubjects: ['*.back-query'] },
      api: { port: 0, auth: 'none' },
    })
    await relay.start()
    const { api: url = '' } = await relay.listen()
    const client = createRelayClient({ url })
    try {
      const gid = await commitsAndDies(db.pool, client, subject, `${stream.prefix}.placed`)
      expect(await client.query(gid, { waitMs: 10_000 })).toMatchObject({ outcome: 'done' })
      const message = await stream.manager.streams.getMessage(stream.name, { seq: 1 })
      expect(message?.header.get('postcommit-gid')).toBe(gid)

      // Announced, and its transaction never came: the question closes the door on it.
      const lost = gidOf('lost')
      const branches = [{ branch: '1', ops: { action: { subject: `${stream.prefix}.placed` } }, payload: '1' }]
      const backQuery = { target: { subject }, checkAfterMs: 100 }
      await client.prepare(lost, { mode: 'msg', branches, backQuery })
      expect(await client.query(lost, { waitMs: 10_000 })).toMatchObject({ outcome: 'failed' })
    } finally {
      await client.close()
      await relay.stop()
      await Promise.all(answers.map((each) => each.stop()))
      await Promise.all(connections.map((connection) => connection.close()))
    }
  })
})

test('what is no question is answered at once, and with no verdict', async () => {
  await using db = await database()
  await using server = await nats()
  const errors: unknown[] = []
  const messages = { settlePreparedMessage: () => Promise.reject(new Error('the database is away')) }
  const onError = (error: unknown) => errors.push(error)
  const { connection } = server
  const answers = answerBackQueries({ connection, subject: 'broken.back-query', messages, onError })
  const question = JSON.stringify({ gid: 'g', nonce: 'n'.repeat(20) })
  for (const text of ['', 'null', '{"gid":"g"}', question, 'x'.repeat(5000)]) {
    expect((await connection.request('broken.back-query', text)).string()).toBe('{}')
  }
  expect(errors).toHaveLength(5)
  await answers.stop()
  expect(() => answerBackQueries({ connection, subject: 'a b', db: db.pool })).toThrow('POSTCOMMIT_INVALID_SUBJECT')
  expect(() => answerBackQueries({ connection, subject: 'a' })).toThrow('either db or messages')
  expect(() => answerBackQueries({ connection, subject: 'a', db: db.pool, queue: 'a b' })).toThrow('queue is not')
})

test('a relay asks only where its configuration says so, and tells when it is handed in', async () => {
  await using db = await database()
  await using api = await testApi(db.url, { coordinator: { database: 'main', checkSubjects: ['orders.*'] } })
  const prepare = (target: object) =>
    api.request('POST', `/v1/transactions/${gidOf('asked')}:prepare`, {
      body: { transaction: { ...messageTo(), backQuery: { target } } },
    })
  expect(await prepare({ subject: 'orders.back-query' })).toMatchObject({ status: 202 })
  for (const subject of ['stock.back-query', 'orders.a.b', 'orders']) {
    expect(await prepare({ subject })).toMatchObject({
      status: 403,
      body: { code: 'POSTCOMMIT_TARGET_NOT_ALLOWED', detail: expect.stringContaining(`nats:${subject}`) },
    })
  }
  // Not even where everything is allowed.
  for (const subject of ['$JS.API.STREAM.LIST', '_INBOX.x', 'orders.*', 'a b', 'orders.x\r\nPUB y 0']) {
    expect(await prepare({ subject })).toMatchObject({ status: 400, body: { code: 'POSTCOMMIT_INVALID_REQUEST' } })
  }
  expect(() => createRelay({ db: db.url, coordinator: { database: 'main', checkSubjects: ['a b'] } })).toThrow(
    'coordinator.checkSubjects: a subject is tokens',
  )
})

test('addresses are refused when they are handed in, where the relay would not call them', async () => {
  await using db = await database()
  const urls = { allow: ['10.0.0.0/8'] }
  await using api = await testApi(db.url, { coordinator: { database: 'main', urls } })
  await using named = await testApi(db.url)
  const submit = (to: TestApi, url: string) =>
    to.request('POST', `/v1/transactions/${gidOf('url')}:submit`, {
      body: { transaction: messageTo({ branches: [{ branch: '1', ops: { action: { url } } }] }) },
    })
  const refused = { status: 403, body: { code: 'POSTCOMMIT_TARGET_NOT_ALLOWED' } }
  expect(await submit(api, 'http://10.0.0.1/x')).toMatchObject({ status: 202 })
  expect(await submit(api, 'http://169.254.169.254/latest')).toMatchObject(refused)
  expect(await submit(api, 'http://10.0.0.1:22/')).toMatchObject(refused)
  expect(await submit(named, 'http://10.0.0.1/x?secret=1')).toMatchObject(refused)
  expect((await submit(named, 'http://10.0.0.1/x?secret=1')).body.detail).not.toContain('secret')
})
