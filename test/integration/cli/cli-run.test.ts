import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createOutbox } from 'postcommit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { createFaultProxy } from '../../support/fault-proxy.ts'
import { nats, type TestNats } from '../../support/nats.ts'
import { type Program, spawnProgram } from '../../support/program.ts'
import { CLI, runCli } from '../../support/run-cli.ts'

let db: TestDatabase
let broker: TestNats
const calls: { path: string | undefined; body: string }[] = []
const receiver = createServer((request, response) => {
  let body = ''
  request.on('data', (chunk) => {
    body += chunk
  })
  request.on('end', () => {
    calls.push({ path: request.url, body })
    response.end()
  })
})

beforeAll(async () => {
  db = await database()
  broker = await nats()
  await new Promise<void>((listening) => receiver.listen(0, '127.0.0.1', listening))
})
afterAll(async () => {
  await broker.close()
  await db.drop()
  receiver.close()
})

/** The relay as a daemon, on a free port. */
async function startRelay(args: readonly string[] = [], env: Record<string, string> = {}) {
  const program = await spawnProgram(CLI, ['run', '--http-port', '0', ...args], {
    DATABASE_URL: db.url,
    POSTCOMMIT_NATS_SERVERS: broker.url,
    ...env,
  })
  return program
}

async function healthUrl(program: Program): Promise<string> {
  const [, url = ''] = await program.waitForLine(/"url":"(http:[^"]+)".*serving health/, { timeoutMs: 30_000 })
  return url
}

const ready = (url: string) =>
  eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200), { timeoutMs: 15_000 })

describe('postcommit run', () => {
  test('delivers to NATS and over HTTP, tells how it is, and stops in order on SIGTERM', async () => {
    const { port } = receiver.address() as AddressInfo
    const stream = await broker.freshStream('run')
    const destinations = JSON.stringify({ stock: { url: `http://127.0.0.1:${port}/hooks` } })
    await using relay = await startRelay([], { POSTCOMMIT_DESTINATIONS: destinations })
    const url = await healthUrl(relay)
    await ready(url)

    await createOutbox({ db: db.pool }).commit((_, message) => {
      message.publish(`${stream.prefix}.order.placed`, { n: 1 })
      message.call('stock', '/deduct', { n: 2 })
    })
    await eventually(async () => {
      expect(calls).toContainEqual({ path: '/hooks/deduct', body: '{"n":2}' })
      expect((await stream.manager.streams.info(stream.name)).state.messages).toBe(1)
    })
    await eventually(async () => {
      const metrics = await (await fetch(`${url}/metrics`)).text()
      expect(metrics).toMatch(/^postcommit_published_total\{source="main"\} 1$/m)
      expect(metrics).toMatch(/^postcommit_attempts_total\{.*outcome="confirmed".*\} 1$/m)
      expect(metrics).toMatch(/^postcommit_backlog\{source="main",destination="nats"\} 0$/m)
    })
    expect(await relay.kill('SIGTERM')).toEqual({ code: 0, signal: null })
    for (const line of relay.lines)
      expect(JSON.parse(line)).toMatchObject({ level: expect.any(String), relay: expect.any(String) })
    expect(relay.lines.at(-1)).toContain('"msg":"stopped"')
    const { rows } = await db.pool.query('select from postcommit.relay')
    expect(rows).toHaveLength(0)
  })

  test('a second signal ends it at once', async () => {
    const hanging = createServer(() => undefined)
    await new Promise<void>((listening) => hanging.listen(0, '127.0.0.1', listening))
    const { port } = hanging.address() as AddressInfo
    const called = new Promise<void>((resolve) => hanging.once('request', () => resolve()))
    try {
      await using relay = await startRelay([], {
        POSTCOMMIT_DESTINATIONS: JSON.stringify({ slow: { url: `http://127.0.0.1:${port}`, timeoutMs: 20_000 } }),
      })
      await createOutbox({ db: db.pool }).commit((_, message) => message.call('slow', '/', 1))
      await called
      process.kill(relay.pid, 'SIGINT')
      await relay.waitForLine(/"msg":"stopping"/)
      expect(await relay.kill('SIGINT')).toEqual({ code: 130, signal: null })
    } finally {
      hanging.closeAllConnections()
      hanging.close()
    }
  })

  test('waits for a database that is away, says that it is not ready, and serves it when it comes', async () => {
    const target = new URL(db.url)
    await using proxy = await createFaultProxy({ target: { host: target.hostname, port: Number(target.port) } })
    proxy.refuseNew()
    await using relay = await startRelay([], { DATABASE_URL: proxy.through(db.url) })
    const url = await healthUrl(relay)
    await relay.waitForLine(/cannot take part|waiting for the database/)
    const answer = await fetch(`${url}/readyz`)
    expect(answer.status).toBe(503)
    expect(await answer.json()).toMatchObject({ status: 'not ready', sources: [{ source: 'main', readAgeMs: null }] })
    expect((await fetch(`${url}/livez`)).status).toBe(200)
    await proxy.acceptNew()
    await ready(url)
    expect(await relay.kill('SIGTERM')).toEqual({ code: 0, signal: null })
  })

  test('refuses at once what only a person can mend', async () => {
    await using empty = await database({ migrated: false })
    const result = await runCli(['run', '--http-port', '0'], { env: { DATABASE_URL: empty.url } })
    expect(result).toMatchObject({ code: 1, stderr: expect.stringContaining('POSTCOMMIT_MIGRATION_PENDING') })
    const open = await runCli(['run', '--http-host', '0.0.0.0'], { env: { DATABASE_URL: db.url } })
    expect(open).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('listening beyond this host needs http.token'),
    })
  })

  test('a port that is taken is said in a sentence', async () => {
    const { port } = receiver.address() as AddressInfo
    const result = await runCli(['run', '--http-port', String(port)], { env: { DATABASE_URL: db.url } })
    expect(result).toMatchObject({ code: 1, stderr: expect.stringContaining('another program listens there') })
  })

  test('with a coordinator it serves its API and, where that is switched on, the protocol of DTM', async () => {
    await using relay = await startRelay(
      ['--coordinator-database', 'main', '--api-port', '0', '--dtm-enabled', 'true', '--dtm-port', '0'],
      { POSTCOMMIT_COORDINATOR_ALLOW_URLS: '127.0.0.1' },
    )
    const [, apiUrl = ''] = await relay.waitForLine(/"url":"(http:[^"]+)".*serving the API/, { timeoutMs: 30_000 })
    const [, dtmUrl = ''] = await relay.waitForLine(/"url":"(http:[^"]+)".*serving the protocol of DTM/)
    await ready(apiUrl)
    const answer = await fetch(`${dtmUrl}/api/dtmsvr/newGid`)
    expect(await answer.json()).toMatchObject({ dtm_result: 'SUCCESS' })
    expect(await relay.kill('SIGTERM')).toEqual({ code: 0, signal: null })
  })

  test.each(['http', 'api', 'dtm'])('a port of %s that is taken is said with the keys to set', async (server) => {
    const { port } = receiver.address() as AddressInfo
    const ports = Object.entries({ http: 0, api: 0, dtm: 0, [server]: port })
    const flags = ports.flatMap(([name, of]) => [`--${name}-port`, String(of)])
    const coordinator = ['--coordinator-database', 'main', '--coordinator-allow-urls', '127.0.0.1']
    const result = await runCli(['run', ...flags, ...coordinator, '--dtm-enabled', 'true'], {
      env: { DATABASE_URL: db.url },
    })
    expect(result.code).toBe(1)
    expect(result.stderr).toContain(`cannot listen on 127.0.0.1:${port}: another program listens there`)
    expect(result.stderr).toContain(`Set ${server}.host and ${server}.port`)
  })

  test('no password reaches the log', async () => {
    await using relay = await startRelay(['--log-level', 'trace'], {
      POSTCOMMIT_NATS_SERVERS: 'nats://relay:hunter2@127.0.0.1:1',
    })
    await relay.waitForLine(/taking part/)
    await relay.kill('SIGTERM')
    expect(relay.lines.join('\n')).not.toContain('hunter2')
    expect(relay.lines.join('\n')).not.toContain(new URL(db.url).password)
  })
})

describe('postcommit tail', () => {
  test('shows what becomes of messages, also after the database was away', async () => {
    const stream = await broker.freshStream('tail')
    await using relay = await startRelay()
    await ready(await healthUrl(relay))
    await using tail = await spawnProgram(CLI, ['tail', `${stream.prefix}.*`, '--json'], { DATABASE_URL: db.url })
    const outbox = createOutbox({ db: db.pool })
    // It shows what happens from its start on; when that is, only its output tells.
    const { input } = await eventually(
      async () => {
        await outbox.commit((_, message) => message.publish(`${stream.prefix}.placed`, 1, { key: 'k' }))
        return tail.waitForLine(/"event":"published"/, { timeoutMs: 1000 })
      },
      { timeoutMs: 15_000 },
    )
    const event = { source: 'main', event: 'published', target: `${stream.prefix}.placed`, key: 'k' }
    expect(JSON.parse(input)).toMatchObject(event)
    expect(await tail.kill('SIGINT')).toEqual({ code: 0, signal: null })
  })
})
