import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { backQueryHandler, createOutbox, createRelayClient, type RelayClient } from 'postcommit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { gidOf, messageTo } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { type HttpService, httpService } from '../../support/http-service.ts'
import { type Program, spawnProgram } from '../../support/program.ts'
import { CLI, runCli } from '../../support/run-cli.ts'

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`

let relayDb: TestDatabase
let serviceDb: TestDatabase
let stock: HttpService
let program: Program
let relay: RelayClient
let apiUrl: string
let backQueryUrl: string
let closeBackQuery: () => void

const cli = async (args: readonly string[]) => {
  const { code, stdout, stderr } = await runCli([...args, '--json'], {
    env: { DATABASE_URL: relayDb.url, POSTCOMMIT_COORDINATOR_DATABASE: 'main' },
  })
  return {
    code,
    out: stdout === '' ? undefined : JSON.parse(stdout),
    err: stderr === '' ? undefined : JSON.parse(stderr),
  }
}
const text = async (args: readonly string[]) =>
  (await runCli(args, { env: { DATABASE_URL: relayDb.url, POSTCOMMIT_COORDINATOR_DATABASE: 'main' } })).stdout
const calls = (gid: string) => stock.calls.filter(({ headers }) => headers['postcommit-gid'] === gid)

beforeAll(async () => {
  ;[relayDb, serviceDb] = await Promise.all([database(), database()])
  await serviceDb.pool.query('create table orders (id text primary key deferrable initially deferred)')
  stock = await httpService(({ path }) => (path === '/lost' ? 404 : 204))
  const server = createServer(backQueryHandler({ db: serviceDb.pool, secrets: [SECRET] }).node)
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  backQueryUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  closeBackQuery = () => {
    server.close()
    server.closeAllConnections()
  }
  program = await spawnProgram(
    CLI,
    [
      'run',
      '--http-port',
      '0',
      '--api-port',
      '0',
      '--coordinator-database',
      'main',
      '--coordinator-check-after-ms',
      '300',
    ],
    {
      DATABASE_URL: relayDb.url,
      POSTCOMMIT_DESTINATIONS: JSON.stringify({
        stock: { url: stock.url },
        orders: { url: backQueryUrl, secrets: [SECRET] },
      }),
    },
  )
  ;[, apiUrl = ''] = await program.waitForLine(/"url":"(http:[^"]+)".*serving the API/)
  await eventually(async () => expect((await fetch(`${apiUrl}/readyz`)).status).toBe(200), { timeoutMs: 15_000 })
  const { out } = await cli(['api-key', 'create', '--label', 'orders service', '--expires-in', '1d'])
  relay = createRelayClient({ url: apiUrl, apiKey: out.key })
})
afterAll(async () => {
  await relay.close()
  await program.kill('SIGTERM')
  closeBackQuery()
  await stock[Symbol.asyncDispose]()
  await Promise.all([relayDb.drop(), serviceDb.drop()])
})

describe('postcommit api-key', () => {
  test('a key is made, listed without its secret, and ends', async () => {
    const made = await cli(['api-key', 'create', '--tenant', 'shop', '--scopes', 'read', '--label', 'looks only'])
    expect(made.out).toMatchObject({ tenant: 'shop', scopes: ['read'], label: 'looks only', revokedAt: null })
    const { key, id } = made.out
    expect(key).toMatch(new RegExp(`^pc_${id}_[A-Za-z0-9_-]{43}$`))
    const list = await runCli(['api-key', 'list', '--tenant', 'shop'], {
      env: { DATABASE_URL: relayDb.url, POSTCOMMIT_COORDINATOR_DATABASE: 'main' },
    })
    expect(list.stdout).toContain(id)
    expect(list.stdout).not.toContain(key.slice(20))
    const ask = () => fetch(`${apiUrl}/v1/transactions`, { headers: { authorization: `Bearer ${key}` } })
    expect(await (await ask()).json()).toEqual({ transactions: [], before: null })
    expect(await cli(['api-key', 'revoke', id])).toMatchObject({ code: 0, out: { id, revoked: true } })
    expect(await cli(['api-key', 'revoke', id])).toMatchObject({ code: 1, out: { id, revoked: false } })
    await eventually(async () => expect((await ask()).status).toBe(401), { timeoutMs: 8000 })
  })

  test('what is not right makes none', async () => {
    for (const wrong of [
      ['--scopes', 'everything'],
      ['--tenant', 'No Name'],
      ['--expires-in', 'soon'],
    ]) {
      expect((await runCli(['api-key', 'create', ...wrong], { env: { DATABASE_URL: relayDb.url } })).code).toBe(2)
    }
  })
})

describe('a service whose database the relay cannot read', () => {
  const commit = async (client: RelayClient, id: string) => {
    const outbox = createOutbox({ db: serviceDb.pool, relay: client, backQuery: { destination: 'orders', path: '/' } })
    return outbox.commit(async (tx, message) => {
      await tx.query('insert into orders (id) values ($1)', [id])
      message.call('stock', '/deduct', { id })
    })
  }

  test('commits, and the call is made; so it is if the submit never comes', async () => {
    const { gid } = await commit(relay, 'one')
    expect(await relay.query(gid, { waitMs: 10_000 })).toMatchObject({ outcome: 'done' })
    expect(calls(gid)).toHaveLength(1)
    const crashing = { ...relay, submit: () => Promise.reject(new Error('the process is gone')) }
    const lost = await commit(crashing, 'two')
    await eventually(async () => expect(calls(lost.gid)).toHaveLength(1), { timeoutMs: 15_000 })
    expect(await relay.query(lost.gid, { waitMs: 10_000 })).toMatchObject({ outcome: 'done' })
  })

  test('rolls back, and nothing is called', async () => {
    await commit(relay, 'three')
    let gid = ''
    const spying = {
      ...relay,
      prepare: (...given: Parameters<RelayClient['prepare']>) => {
        gid = given[0]
        return relay.prepare(...given)
      },
      abort: () => Promise.reject(new Error('the process is gone')),
    }
    await expect(commit(spying, 'three')).rejects.toThrow('duplicate key')
    expect(gid).not.toBe('')
    expect(await relay.query(gid, { waitMs: 15_000 })).toMatchObject({ outcome: 'failed' })
    expect(calls(gid)).toEqual([])
  })
})

describe('postcommit transaction', () => {
  const doubtful = async () => {
    const gid = gidOf('doubt')
    await relay.prepare(
      gid,
      messageTo({ backQuery: { target: { destination: 'stock', path: '/lost' }, checkAfterMs: 1 } }),
    )
    await eventually(
      async () => {
        const { out } = await cli(['in-doubt'])
        expect(out.transactions).toContainEqual(expect.objectContaining({ gid, status: 'prepared', inDoubt: true }))
      },
      { timeoutMs: 20_000, everyMs: 200 },
    )
    return gid
  }

  test('the undecided are found, told, and resolved by a person', async () => {
    const gid = await doubtful()
    expect(await text(['in-doubt'])).toMatch(new RegExp(`${gid} .*msg .*prepared`))
    expect(await text(['transaction', 'show', gid])).toMatch(/back-query +stock\/lost/)
    const resolve = [
      'transaction',
      'resolve',
      gid,
      '--as',
      'committed',
      '--reason',
      'the order is there',
      '--actor',
      'ada',
    ]
    expect(await cli(resolve)).toMatchObject({ code: 0, out: { gid, status: 'submitted', changed: true } })
    expect(await relay.query(gid, { waitMs: 10_000 })).toMatchObject({ outcome: 'done' })
    const shown = await text(['transaction', 'show', gid])
    expect(shown).toMatch(/resolved .*the order is there +ada/)
    expect(shown).not.toContain('{"n":1}')
    expect(await cli(resolve)).toMatchObject({ code: 1, out: { changed: false } })
    const other = await cli(['transaction', 'resolve', gid, '--as', 'aborted', '--reason', 'r'])
    expect(other).toMatchObject({ code: 1, err: { error: { code: 'POSTCOMMIT_TRANSACTION_DECIDED' } } })
  })

  test('pause and resume; lists by status, page by page', async () => {
    const gid = gidOf('paused')
    // Not asked about while this goes on: it would be given up.
    const target = { destination: 'orders', path: '/' }
    const message = messageTo({ backQuery: { target, checkAfterMs: 600_000 } })
    await relay.prepare(gidOf('older'), message)
    await relay.prepare(gid, message)
    expect(await cli(['transaction', 'pause', gid, '--reason', 'wait'])).toMatchObject({ out: { changed: true } })
    const paused = await cli(['transaction', 'list', '--paused'])
    expect(paused.out.transactions).toEqual([expect.objectContaining({ gid, pausedReason: 'wait', dueAt: null })])
    const first = await cli(['transaction', 'list', '--limit', '1', '--status', 'prepared', '--mode', 'msg'])
    expect(first.out.transactions).toEqual([expect.objectContaining({ gid })])
    expect(await cli(['transaction', 'resume', gid, '--reason', 'go'])).toMatchObject({ out: { changed: true } })
    expect(await text(['transaction', 'list', '--limit', '1'])).toContain('More: the same with --before ')
  })

  test('what is not there, and what is missing', async () => {
    expect(await cli(['transaction', 'show', 'nobody'])).toMatchObject({
      code: 1,
      err: { error: { code: 'POSTCOMMIT_UNKNOWN_TRANSACTION' } },
    })
    const env = { DATABASE_URL: relayDb.url }
    expect((await runCli(['transaction', 'pause', 'g'], { env })).code).toBe(2)
    expect((await runCli(['transaction', 'resolve', 'g', '--reason', 'r'], { env })).code).toBe(2)
    expect((await runCli(['transaction', 'show', 'not a gid'], { env })).code).toBe(2)
  })
})

test('off this host without keys it does not start', async () => {
  const result = await runCli(
    ['run', '--http-port', '0', '--api-host', '0.0.0.0', '--api-auth', 'none', '--coordinator-database', 'main'],
    {
      env: { DATABASE_URL: relayDb.url },
    },
  )
  expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining('listening beyond this host needs keys') })
})
