import { Gauge, Registry } from 'prom-client'
import { afterEach, describe, expect, test } from 'vitest'
import { type HealthServer, type HealthServerOptions, type ObservedHealth, startHealthServer } from './server.ts'

const NATS_AWAY = { configured: true, connected: false, problem: undefined }
const READ = { source: 'main', readAgeMs: 12.4, problem: undefined }

let server: HealthServer | undefined
afterEach(async () => {
  await server?.close()
  server = undefined
})

async function start(health: () => ObservedHealth, options: Partial<HealthServerOptions> = {}) {
  server = await startHealthServer({
    host: '127.0.0.1',
    port: 0,
    health,
    registry: new Registry(),
    refresh: async () => undefined,
    ...options,
  })
  const { url } = server
  return (path: string, headers: Record<string, string> = {}) => fetch(`${url}${path}`, { headers })
}

describe('/readyz', () => {
  test('is ready while every source is read, also without NATS', async () => {
    const get = await start(() => ({ sources: [READ], nats: NATS_AWAY }))
    const answer = await get('/readyz')
    expect(answer.status).toBe(200)
    expect(await answer.json()).toEqual({
      status: 'ready',
      sources: [{ source: 'main', readAgeMs: 12, problem: null, doubt: null }],
      nats: { configured: true, connected: false },
    })
  })

  test.each([
    ['before the first read', { ...READ, readAgeMs: undefined }],
    ['when the last read is too old', { ...READ, readAgeMs: 10_001 }],
  ])('is not ready %s of any source', async (_, stale) => {
    const get = await start(() => ({ sources: [READ, stale], nats: NATS_AWAY }))
    expect((await get('/readyz')).status).toBe(503)
  })

  test('is not ready once it drains', async () => {
    const get = await start(() => ({ sources: [READ], nats: NATS_AWAY }))
    server?.drain()
    const answer = await get('/readyz')
    expect(answer.status).toBe(503)
    expect(await answer.json()).toMatchObject({ status: 'draining' })
  })
})

describe('with a token', () => {
  const token = 'a-token-of-some-length'

  test('metrics are only for who has it, details of health too', async () => {
    const get = await start(() => ({ sources: [READ], nats: NATS_AWAY }), { token })
    expect((await get('/metrics')).status).toBe(401)
    expect((await get('/metrics', { authorization: `Bearer ${token}x` })).status).toBe(401)
    expect((await get('/metrics', { authorization: `Bearer ${token}` })).status).toBe(200)
    expect(await (await get('/readyz')).json()).toEqual({ status: 'ready' })
    expect((await get('/livez')).status).toBe(200)
  })
})

describe('/metrics', () => {
  test('refreshes once for scrapes that come together, and shows what it has if that fails', async () => {
    const registry = new Registry()
    const gauge = new Gauge({ name: 'refreshed', help: '.', registers: [registry] })
    let runs = 0
    const refresh = async () => {
      runs += 1
      gauge.set(runs)
      throw new Error('the database is away')
    }
    const get = await start(() => ({ sources: [], nats: NATS_AWAY }), { registry, refresh })
    const answers = await Promise.all([get('/metrics'), get('/metrics'), get('/metrics')])
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(await answers[2]?.text()).toContain('refreshed 1')
    expect(runs).toBe(1)
  })
})

test('a port that is taken is said in a sentence', async () => {
  await start(() => ({ sources: [], nats: NATS_AWAY }))
  const port = Number(new URL(server?.url ?? '').port)
  const second = startHealthServer({
    host: '127.0.0.1',
    port,
    health: () => ({ sources: [], nats: NATS_AWAY }),
    registry: new Registry(),
    refresh: async () => undefined,
  })
  await expect(second).rejects.toMatchObject({
    code: 'POSTCOMMIT_LISTEN_FAILED',
    message: expect.stringContaining(`cannot listen on 127.0.0.1:${port}: another program listens there`),
  })
})
