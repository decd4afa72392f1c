import { once } from 'node:events'
import { request as requestHttp } from 'node:http'
import { connect } from 'node:net'
import fc from 'fast-check'
import pg from 'pg'
import { pino } from 'pino'
import { LIMITS } from 'postcommit/protocol'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { drawApiKey, SCOPES } from '../../../relay/api/api-key.ts'
import { startApi } from '../../../relay/api/server.ts'
import { v1Routes } from '../../../relay/api/v1/routes.ts'
import { revokeApiKey } from '../../../relay/store/api-key/revoke-api-key.ts'
import { type TestApi, testApi } from '../../support/api.ts'
import { gidOf, messageTo, NO_ADDRESSES, NO_SOURCES } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'

const silent = pino({ level: 'silent' })
let db: TestDatabase
let api: TestApi

beforeAll(async () => {
  db = await database()
  api = await testApi(db.url)
})
afterAll(async () => {
  await api[Symbol.asyncDispose]()
  await db.drop()
})

/** Every route, with a gid, a topic and a body of the right size in its place. */
// Without what goes on for minutes: api-events.test.ts asks for that.
const addresses = v1Routes
  .filter(({ path }) => path !== '/v1/events')
  .map((route) => ({
    route,
    method: route.method,
    path: route.path.replace('{gid}', 'some-gid').replace('{topic}', 'some-topic'),
    name: `${route.method} ${route.path}`,
  }))
const guarded = addresses.filter(({ route }) => route.scope !== undefined)

describe('who may come in', () => {
  const secret = drawApiKey()
  test.each([
    ['no key', ''],
    ['not a key', 'secret'],
    ['a key that nobody has', secret.text],
    ['a key with something behind it', `${secret.text}x`],
  ])('with %s nobody, whatever is asked', async (_, key) => {
    for (const { method, path } of guarded) {
      const answer = await api.request(method, path, { key, ...(method === 'POST' && { body: {} }) })
      expect(answer).toMatchObject({ status: 401, body: { code: 'POSTCOMMIT_UNAUTHENTICATED', status: 401 } })
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
      expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8')
    }
  })

  test('not with the id of one key and the secret of another', async () => {
    const [a = '', b = ''] = [await api.key(), await api.key()]
    const mixed = `${a.slice(0, 20)}${b.slice(20)}`
    expect((await api.request('GET', '/v1/transactions/g:outcome', { key: a })).status).toBe(404)
    expect((await api.request('GET', '/v1/transactions/g:outcome', { key: mixed })).status).toBe(401)
  })

  test('not with one that has expired, nor soon after it was revoked', async () => {
    const expired = await api.key({ expiresInMs: -1 })
    expect((await api.request('GET', '/v1/transactions/g:outcome', { key: expired })).status).toBe(401)
    const revoked = await api.key()
    const status = async () => (await api.request('GET', '/v1/transactions/g:outcome', { key: revoked })).status
    expect(await status()).toBe(404)
    expect(await revokeApiKey(api.pool, revoked.slice(3, 19))).toBe(true)
    await eventually(async () => expect(await status()).toBe(401), { timeoutMs: 8000, everyMs: 200 })
  })

  test('the scope of a key decides, for every route', async () => {
    for (const { route, method, path } of guarded) {
      const { scope } = route
      if (scope === 'operation' || scope === undefined) continue
      const others = await api.key({ scopes: SCOPES.filter((other) => other !== scope) })
      const own = await api.key({ scopes: [scope] })
      const body = method === 'POST' ? { body: {} } : {}
      expect((await api.request(method, path, { key: others, ...body })).body).toMatchObject({
        code: 'POSTCOMMIT_FORBIDDEN',
        detail: expect.stringContaining(scope),
      })
      expect((await api.request(method, path, { key: own, ...body })).status).not.toBe(403)
    }
  })

  test('and for every operation of a batch, which the others do not suffer from', async () => {
    const key = await api.key({ scopes: ['prepare', 'read'] })
    const gid = gidOf('batch')
    const { status, body } = await api.request('POST', '/v1/transactions:batch', {
      key,
      body: {
        operations: [
          { do: 'prepare', gid, transaction: messageTo() },
          { do: 'submit', gid },
          { do: 'abort', gid },
          { do: 'query', gid },
        ],
      },
    })
    expect(status).toBe(200)
    const refused = { outcome: 'refused', code: 'POSTCOMMIT_FORBIDDEN', retryable: false }
    expect(body.results).toMatchObject([{ status: 'prepared' }, refused, refused, { status: 'prepared' }])
  })

  test('the tenant is that of the key: what others have is not there', async () => {
    const ours = await api.key({ tenant: 'ours' })
    const theirs = await api.key({ tenant: 'theirs' })
    const gid = gidOf('tenant')
    const path = `/v1/transactions/${gid}`
    await api.request('POST', `${path}:prepare`, { key: ours, body: { transaction: messageTo() } })
    const unknown = await api.request('GET', `/v1/transactions/${gidOf('none')}:outcome`, { key: theirs })
    for (const [method, verb] of [
      ['GET', 'outcome'],
      ['POST', 'submit'],
      ['POST', 'abort'],
    ] as const) {
      const answer = await api.request(method, `${path}:${verb}`, { key: theirs })
      expect(answer).toMatchObject({ status: 404, body: { code: 'POSTCOMMIT_UNKNOWN_TRANSACTION' } })
      expect(Object.keys(answer.body).toSorted()).toEqual(Object.keys(unknown.body).toSorted())
    }
    // The same gid is another transaction there.
    await api.request('POST', `${path}:prepare`, { key: theirs, body: { transaction: messageTo({ name: 'x' }) } })
    expect((await api.request('POST', `${path}:abort`, { key: theirs })).body.outcome).toBe('failed')
    expect((await api.request('GET', `${path}:outcome`, { key: ours })).body.status).toBe('prepared')
  })
})

describe('without keys', () => {
  const start = (host: string) =>
    startApi(
      { host, port: 0, auth: 'none' },
      { ...surroundings(), transactions: () => api.relay.transactions, targets: NO_ADDRESSES, ...NO_SOURCES },
    )
  const surroundings = () => ({
    pool: api.pool,
    metrics: api.relay.metrics,
    log: silent,
    transactions: () => undefined,
    targets: NO_ADDRESSES,
    ...NO_SOURCES,
  })

  test.each(['0.0.0.0', '::', '192.0.2.1', 'example.org', ''])('it does not listen on %j', async (host) => {
    await expect(start(host)).rejects.toMatchObject({ code: 'POSTCOMMIT_API_EXPOSED', retryable: false })
  })

  test('with keys it does', async () => {
    const open = await startApi({ host: '0.0.0.0', port: 0 }, surroundings())
    await open.close()
  })

  test('it serves programs of this host, and no page that leads a browser here', async () => {
    const local = await start('127.0.0.1')
    const { port } = new URL(local.url)
    const status = (headers: Record<string, string>) =>
      new Promise<number | undefined>((resolve, reject) => {
        const sent = requestHttp({ host: '127.0.0.1', port, path: '/v1/transactions/g:outcome', headers }, (answer) => {
          answer.resume()
          resolve(answer.statusCode)
        })
        sent.once('error', reject).end()
      })
    expect(await status({})).toBe(404)
    expect(await status({ host: `localhost:${port}` })).toBe(404)
    expect(await status({ host: 'rebound.example.org' })).toBe(403)
    expect(await status({ host: `127.0.0.1.example.org:${port}` })).toBe(403)
    expect(await status({ origin: 'http://localhost:3000' })).toBe(404)
    expect(await status({ origin: 'https://example.org' })).toBe(403)
    expect(await status({ 'sec-fetch-site': 'cross-site' })).toBe(403)
    // What a page may send without asking is not JSON by its type.
    const sent = await fetch(`${local.url}/v1/transactions/g:abort`, { method: 'POST', body: '{}' })
    expect(sent.status).toBe(415)
    await local.close()
  })

  test('a port that is taken', async () => {
    const { port } = new URL(api.url)
    const taken = startApi({ port: Number(port) }, surroundings())
    await expect(taken).rejects.toMatchObject({
      code: 'POSTCOMMIT_LISTEN_FAILED',
      action: expect.stringContaining('Set api.host and api.port') as string,
    })
  })
})

describe('requests that are none', () => {
  test('are told what is wrong with them', async () => {
    const post = (path: string, body: unknown, headers = {}) => api.request('POST', path, { body, headers })
    const batch = '/v1/transactions:batch'
    const codes = [
      [await api.request('GET', '/'), 404, 'POSTCOMMIT_UNKNOWN_ROUTE'],
      [await api.request('GET', '/v2/x'), 404, 'POSTCOMMIT_UNKNOWN_ROUTE'],
      [await post('/v1/transactions/g:explode', {}), 404, 'POSTCOMMIT_UNKNOWN_ROUTE'],
      [await api.request('PUT', batch, { body: {} }), 404, 'POSTCOMMIT_UNKNOWN_ROUTE'],
      [await api.request('GET', '/v1/transactions/%zz:outcome'), 400, 'POSTCOMMIT_INVALID_REQUEST'],
      [await api.request('GET', `/v1/transactions/${'x'.repeat(600)}:outcome`), 400, 'POSTCOMMIT_INVALID_REQUEST'],
      [await api.request('GET', '/v1/transactions/g:outcome?waitMs=x'), 400, 'POSTCOMMIT_INVALID_REQUEST'],
      [await api.request('GET', '/v1/transactions/g:outcome?wait=1'), 400, 'POSTCOMMIT_INVALID_REQUEST'],
      [await post(batch, '{"operations":'), 400, 'POSTCOMMIT_INVALID_REQUEST'],
      [await post(batch, '[]'), 400, 'POSTCOMMIT_INVALID_REQUEST'],
      [await post(batch, { operations: [] }), 400, 'POSTCOMMIT_INVALID_REQUEST'],
      [await post(batch, '{"__proto__":{"operations":[]}}'), 400, 'POSTCOMMIT_INVALID_REQUEST'],
      [await post(batch, '['.repeat(100_000)), 400, 'POSTCOMMIT_INVALID_REQUEST'],
      [await post(batch, `{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`), 400, 'POSTCOMMIT_INVALID_REQUEST'],
      [await post(batch, 'x', { 'content-type': 'text/plain' }), 415, 'POSTCOMMIT_UNSUPPORTED_MEDIA_TYPE'],
      [await post(batch, ' '.repeat(LIMITS.batchBytes + 1)), 413, 'POSTCOMMIT_REQUEST_TOO_LARGE'],
      [await post('/v1/transactions/g:abort', ' '.repeat(20_000)), 413, 'POSTCOMMIT_REQUEST_TOO_LARGE'],
    ] as const
    for (const [{ status, body, headers }, expected, code] of codes) {
      expect([status, body.code, headers.get('content-type')]).toEqual([
        expected,
        code,
        'application/problem+json; charset=utf-8',
      ])
      expect(body).toMatchObject({ type: `urn:postcommit:error:${code}`, requestId: expect.any(String) })
    }
  })

  test('whatever is sent wherever, nothing is this side its fault, and nothing of it is logged', async () => {
    const before = api.logged.length
    const word = fc.constantFrom(
      'operations',
      'do',
      'gid',
      'prepare',
      'submit',
      'transaction',
      'mode',
      'msg',
      'branches',
      'PAYLOADSECRET',
    )
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { depthSize: 'small' },
        fc.jsonValue(),
        word,
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(word, tie('tree'), { maxKeys: 4 }),
      ),
    }))
    const body = fc.oneof(
      tree.map((value) => JSON.stringify(value)),
      fc.string(),
      fc.constant('{"operations":[{"do":"query","gid":"g"}]}'),
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...addresses), body, async ({ method, path }, text) => {
        const { status } = await api.request(method, path, method === 'GET' ? {} : { body: text })
        expect(status).toBeLessThan(500)
      }),
      { numRuns: 400 },
    )
    const lines = api.logged.slice(before).join('')
    expect(lines).not.toContain('PAYLOADSECRET')
    expect(lines).not.toContain('pc_')
  })

  test('that never end are ended, and cost nobody else anything', async () => {
    const { port } = new URL(api.url)
    const socket = connect(Number(port), '127.0.0.1')
    await once(socket, 'connect')
    socket.write(
      'POST /v1/transactions:batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n',
    )
    const [first] = (await once(socket, 'data')) as [Buffer]
    // Without a key nobody waits for the body.
    expect(first.toString()).toMatch(/^HTTP\/1.1 401/)
    socket.destroy()
  })
})

describe('when the relay cannot', () => {
  test('while it starts and stops clients are put off; who waits is answered before it ends', async () => {
    await using own = await database()
    const mine = await testApi(own.url)
    expect((await mine.request('GET', '/readyz')).status).toBe(200)
    const gid = gidOf('waits')
    await mine.request('POST', `/v1/transactions/${gid}:prepare`, { body: { transaction: messageTo() } })
    const waiting = mine.request('GET', `/v1/transactions/${gid}:outcome?waitMs=60000`)
    await new Promise((go) => setTimeout(go, 200))
    mine.api.drain()
    expect(await mine.request('GET', '/readyz')).toMatchObject({ status: 503, body: { status: 'draining' } })
    const put = await mine.request('POST', `/v1/transactions/${gid}:submit`)
    expect(put).toMatchObject({ status: 503, body: { code: 'POSTCOMMIT_RELAY_UNAVAILABLE', retryable: true } })
    expect(put.headers.get('retry-after')).toBe('1')
    const from = performance.now()
    await mine[Symbol.asyncDispose]()
    expect(await waiting).toMatchObject({ status: 202, body: { outcome: 'pending', status: 'prepared' } })
    expect(performance.now() - from).toBeLessThan(20_000)
  })

  test('a relay that is not there yet', async () => {
    const early = await startApi(
      { port: 0, auth: 'none' },
      {
        pool: api.pool,
        transactions: () => undefined,
        targets: NO_ADDRESSES,
        ...NO_SOURCES,
        metrics: api.relay.metrics,
        log: silent,
      },
    )
    expect((await fetch(`${early.url}/readyz`)).status).toBe(503)
    const answer = await fetch(`${early.url}/v1/transactions:batch`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ operations: [{ do: 'query', gid: 'g' }] }),
    })
    expect(await answer.json()).toMatchObject({
      results: [{ outcome: 'refused', code: 'POSTCOMMIT_RELAY_UNAVAILABLE', retryable: true }],
    })
    await early.close()
  })

  test('a database that is away is said to be, without its name', async () => {
    const away = new pg.Pool({ connectionString: 'postgres://user:hunter2@127.0.0.1:1/away' })
    const lost = await startApi(
      { port: 0 },
      {
        pool: away,
        transactions: () => api.relay.transactions,
        targets: NO_ADDRESSES,
        ...NO_SOURCES,
        metrics: api.relay.metrics,
        log: silent,
      },
    )
    const answer = await fetch(`${lost.url}/v1/transactions/g:outcome`, {
      headers: { authorization: `Bearer ${drawApiKey().text}` },
    })
    const text = await answer.text()
    expect(answer.status).toBe(503)
    expect(JSON.parse(text)).toMatchObject({ code: 'POSTCOMMIT_RELAY_UNAVAILABLE' })
    expect(text).not.toMatch(/hunter2|127\.0\.0\.1:1|away/)
    await lost.close()
    await away.end()
  })
})

test('what nobody foresaw is told by a number, under which it is in the log', async () => {
  const logged: string[] = []
  const ended = new pg.Pool({ connectionString: db.url })
  await ended.end()
  const broken = await startApi(
    { port: 0, auth: 'none' },
    {
      pool: ended,
      transactions: () => undefined,
      targets: NO_ADDRESSES,
      ...NO_SOURCES,
      metrics: api.relay.metrics,
      log: pino({}, { write: (line) => logged.push(line) }),
    },
  )
  const answer = await fetch(`${broken.url}/v1/topics`)
  const problem = (await answer.json()) as { readonly requestId: string }
  expect(answer.status).toBe(500)
  expect(problem).toMatchObject({ code: 'POSTCOMMIT_INTERNAL', detail: expect.stringContaining(problem.requestId) })
  expect(logged).toEqual([expect.stringContaining(problem.requestId)])
  await broken.close()
})

test('requests are counted by the template of their route', async () => {
  await api.request('GET', `/v1/transactions/${gidOf('counted')}:outcome`)
  const text = await api.relay.metrics.registry.metrics()
  expect(text).toMatch(
    /postcommit_api_requests_total\{route="\/v1\/transactions\/\{gid\}:outcome",method="GET",status="404"\} \d+/,
  )
  expect(text).not.toContain('counted-')
})
