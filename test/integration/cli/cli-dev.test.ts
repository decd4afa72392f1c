import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import pg from 'pg'
import { createOutbox, createRelayClient } from 'postcommit'
import { applyInvalidations, createCache, memoryStore, valuesNamed } from 'postcommit/cache'
import { saga } from 'postcommit/transactions'
import { describe, expect, test } from 'vitest'
import { descendantsOf, isRunning } from '../../../relay/dev/process-table.ts'
import { eventually } from '../../support/eventually.ts'
import { httpService } from '../../support/http-service.ts'
import { privateFolder } from '../../support/private-servers.ts'
import { type Program, spawnProgram } from '../../support/program.ts'
import { CLI, runCli } from '../../support/run-cli.ts'

interface Facts {
  readonly pid: number
  readonly databaseUrl: string
  readonly natsUrl?: string
  readonly healthUrl: string
  readonly apiUrl: string
  readonly apiKey: string
  readonly dtmUrl?: string
}

const READY_MS = 30_000

async function startDev(cwd: string, env: Record<string, string> = {}, args: readonly string[] = []): Promise<Program> {
  const program = await spawnProgram(CLI, ['dev', ...args], env, cwd)
  await program.waitForLine(/^What becomes of messages follows|"event":"ready"/, { timeoutMs: READY_MS })
  return program
}

const readFacts = async (cwd: string): Promise<Facts> =>
  JSON.parse(await readFile(join(cwd, '.postcommit', 'dev.json'), 'utf8'))

async function publish(databaseUrl: string, topic: string): Promise<string> {
  const pool = new pg.Pool({ connectionString: databaseUrl })
  try {
    const outbox = createOutbox({ db: pool })
    return (await outbox.commit((_, message) => message.publish(topic, { n: 1 }))).gid
  } finally {
    await pool.end()
  }
}

describe('postcommit dev', () => {
  test('brings everything a first publish needs, keeps it, and leaves no process behind', async () => {
    const cwd = await privateFolder('dev with spaces ')
    const first = await startDev(cwd)
    const banner = first.lines.join('\n')
    expect(banner).toMatch(/^postcommit \d+\.\d+\.\d+, development\. Ready in [\d.]+ m?s\.$/m)
    const facts = await readFacts(cwd)
    expect((await stat(join(cwd, '.postcommit', 'dev.json'))).mode & 0o777).toBe(0o600)
    expect(banner).toContain(`DATABASE_URL=${facts.databaseUrl}`)
    expect(banner).toContain(`NATS_URL=${facts.natsUrl}`)
    expect(banner).toContain(`${join(cwd, '.postcommit')}, kept between runs`)
    expect((await fetch(`${facts.healthUrl}/livez`)).status).toBe(200)

    const gid = await publish(facts.databaseUrl, 'order.placed')
    // Confirmed if it was set aside while its stream was being made.
    await first.waitForLine(new RegExp(`(published|confirmed) +order\\.placed +${gid}:1`))
    // Commands started beside it find it.
    expect((await runCli(['inspect', gid], { cwd })).stdout).toMatch(
      /Published to NATS as order\.placed|Confirmed by nats/,
    )
    expect((await runCli(['doctor'], { cwd })).code).toBe(0)

    expect(banner).toContain(`RELAY_URL=${facts.apiUrl}`)
    expect(banner).toContain(`RELAY_API_KEY=${facts.apiKey}`)

    const second = await runCli(['dev'], { cwd })
    expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining(`in use by process ${first.pid}`) })

    const children = descendantsOf(first.pid)
    expect(children.length).toBeGreaterThan(1)
    expect(await first.kill('SIGINT')).toEqual({ code: 0, signal: null })
    expect(children.filter(isRunning)).toEqual([])
    await expect(readFacts(cwd)).rejects.toThrow('ENOENT')

    await using again = await startDev(cwd)
    expect(again.lines.join('\n')).toMatch(/Schema +up to date/)
    const kept = await readFacts(cwd)
    expect(kept.databaseUrl).toBe(facts.databaseUrl)
    expect(kept.apiKey).toBe(facts.apiKey)
    const connection = await connect({ servers: kept.natsUrl ?? '' })
    await connection.close()
    expect(await again.kill('SIGTERM')).toEqual({ code: 0, signal: null })
  })

  test('serves a cache without a stream made by hand, and says who applies nothing', async () => {
    const cwd = await privateFolder('dev')
    await using dev = await startDev(cwd)
    expect(dev.lines.join('\n')).toContain('POSTCOMMIT_CACHE takes postcommit.cache.>')
    const { databaseUrl, natsUrl = '' } = await readFacts(cwd)
    const doctor = async () => (await runCli(['doctor', '--nats-cache-stream', 'true'], { cwd })).stdout
    expect(await doctor()).toContain('no consumer applies the invalidations that it takes')
    const connection = await connect({ servers: natsUrl })
    const cache = createCache({ store: memoryStore() })
    const applying = await applyInvalidations({ connection, durable: 'shop', caches: [cache] })
    expect(await doctor()).toMatch(/stream POSTCOMMIT_CACHE +takes postcommit\.cache\.>/)
    const counted = cache.define('product', { ttl: '1m', load: (id: number) => id })
    const pool = new pg.Pool({ connectionString: databaseUrl })
    const { gid } = await createOutbox({ db: pool }).commit((_, message) =>
      message.invalidate(valuesNamed<number>('product'), 7),
    )
    await dev.waitForLine(new RegExp(`(published|confirmed) +postcommit\\.cache\\.product +${gid}:1`))
    await eventually(() => expect(counted.stats.invalidated).toBe(1), { timeoutMs: 20_000 })
    await applying.stop()
    await cache.close()
    await connection.close()
    await pool.end()
    expect(await dev.kill('SIGINT')).toEqual({ code: 0, signal: null })
  })

  test('carries out a saga of services on this machine, and tells its story', async () => {
    const cwd = await privateFolder('dev')
    await using service = await httpService(({ path }) => (path === '/pay' ? 409 : 204))
    // The usual ports may be taken by a relay that somebody is working with.
    await using dev = await startDev(cwd, {}, ['--dtm-enabled', 'true'])
    const { apiUrl, apiKey, dtmUrl } = await readFacts(cwd)
    expect(dev.lines.join('\n')).toContain(`DTM         ${dtmUrl}`)
    expect(await (await fetch(`${dtmUrl}/newGid`)).json()).toMatchObject({ dtm_result: 'SUCCESS' })
    const relay = createRelayClient({ url: apiUrl, apiKey })
    const order = saga('order')
      .step('stock', {
        do: `${service.url as 'http://x'}/deduct`,
        undo: `${service.url as 'http://x'}/return`,
        data: 1,
      })
      .step('pay', { do: `${service.url as 'http://x'}/pay`, pivot: true, data: 2 })
      .define()
    const { gid, outcome } = await relay.submitSaga(order, { waitMs: 20_000 })
    expect(outcome).toBe('failed')
    expect(service.calls.map(({ path }) => path)).toEqual(['/deduct', '/pay', '/return'])
    const { stdout, code } = await runCli(['inspect', gid], { cwd })
    expect(code).toBe(0)
    expect(stdout).toContain(`${gid}  saga, failed`)
    expect(stdout).toMatch(/Given up \(.*pay.*\), .* after it was submitted/)
    const { transactions } = JSON.parse((await runCli(['inspect', gid, '--json'], { cwd })).stdout)
    expect(transactions).toMatchObject([{ source: 'main', gid, status: 'failed', branches: expect.any(Array) }])
    expect((await runCli(['status'], { cwd })).stdout).toContain('Transactions: none under way')
    await relay.close()
    expect(await dev.kill('SIGINT')).toEqual({ code: 0, signal: null })
  })

  test('with a broker that is away it holds what is published, and says so', async () => {
    const cwd = await privateFolder('dev')
    await using dev = await startDev(cwd, { NATS_URL: 'nats://127.0.0.1:1' }, ['--json'])
    const { databaseUrl } = await readFacts(cwd)
    const gid = await publish(databaseUrl, 'order.placed')
    const sentence = await eventually(async () => {
      const { stdout } = await runCli(['inspect', gid], { cwd })
      expect(stdout).toContain('Waiting')
      return stdout
    })
    // Before the relay has told what is in its way, and after it.
    expect(sentence).toMatch(/none publishes to NATS|NATS (does not acknowledge|is not published to) since/)
    expect(await dev.kill('SIGINT')).toEqual({ code: 0, signal: null })
  })

  test('a configuration that is wrong is told before anything is started', async () => {
    const cwd = await privateFolder('dev')
    const result = await runCli(['dev', '--http-port', '-1'], { cwd })
    expect(result).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('http.port (--http-port): must be at least 0'),
    })
  })
})
