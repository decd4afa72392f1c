import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { RelayOptions } from '@postcommit/relay'
import { freePort } from '@postcommit/relay/dev'
import pg from 'pg'
import { compilePrograms } from '../../examples/shop/compile.ts'
import { CRON_ONCE_PATH, cronOnce, type DtmRelay, type DtmRelayOptions, LOOPBACK } from './dtm-steps.ts'
import { type Program, spawnProgram } from './program.ts'
import { repositoryFolder } from './repository-folder.ts'

const START_MS = 60_000

/**
 * A relay as {@link dtmRelay}, a process of its own that is killed with SIGKILL, and another started in its place, before
 * every request and every turn of the cron. Only requests that come at the same time share one. While none is alive time
 * stands still for what waits, or a machine that takes seconds to start one would be ahead of the tests.
 */
export async function killedDtmRelay(url: string, options: DtmRelayOptions): Promise<DtmRelay> {
  const port = await freePort()
  const programs = await compilePrograms(join(repositoryFolder, 'test/support/fixtures'))
  const pool = new pg.Pool({ connectionString: url })
  pool.on('error', () => undefined)
  const args = [url, JSON.stringify(relayOptions(port, options))]
  const next = nextRelays(() => spawnProgram(join(programs, 'dtm-relay.js'), args), pool)
  let underWay = 0
  let restarted = next.start()
  /** Kills the relay unless it is being asked something. */
  const step = async <T>(ask: () => Promise<T>): Promise<T> => {
    if (underWay === 0) restarted = restarted.then(() => next.replace())
    underWay += 1
    try {
      await restarted
      return await ask()
    } finally {
      underWay -= 1
    }
  }
  const receive = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    if (incoming.url !== CRON_ONCE_PATH) return await step(() => forward(port, incoming, body, response))
    const turned = await step(() => cronOnce(pool, body.toString()))
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(turned))
  }
  const front = createServer((incoming, response) => {
    // A step can take longer than a connection is kept: none is.
    response.shouldKeepAlive = false
    receive(incoming, response).catch(() => response.destroy())
  })
  front.listen(0, '127.0.0.1')
  await Promise.all([once(front, 'listening'), restarted])
  return {
    url: `http://127.0.0.1:${(front.address() as AddressInfo).port}/api/dtmsvr`,
    pool,
    async stop() {
      front.close()
      front.closeAllConnections()
      await next.end()
      await pool.end()
    },
  }
}

function relayOptions(port: number, { alertUrl, ...dtm }: DtmRelayOptions): Pick<RelayOptions, 'coordinator' | 'dtm'> {
  const alerts = alertUrl === undefined ? {} : { alerts: { url: alertUrl } }
  return { coordinator: { database: 'main', urls: LOOPBACK, ...alerts }, dtm: { ...dtm, port } }
}

/** Relays one after the other, of which the next one is loaded while the last one serves. */
function nextRelays(load: () => Promise<Program>, pool: pg.Pool) {
  let spare = load()
  let current: Program | undefined
  let startMs = 0
  const start = async (): Promise<void> => {
    current = await spare
    const from = performance.now()
    current.send('start')
    await current.waitForLine(/^serving$/, { timeoutMs: START_MS })
    startMs = performance.now() - from
    spare = load()
  }
  return {
    start,
    async replace(): Promise<void> {
      const from = performance.now()
      await Promise.all([current?.kill(), spare])
      const goneMs = performance.now() - from
      // As if the start took as long as the last one; how long it did is put right after it.
      const expectedMs = startMs
      await putOff(pool, goneMs, goneMs + expectedMs)
      await start()
      await putOff(pool, 0, startMs - expectedMs)
    },
    async end(): Promise<void> {
      await Promise.all([current?.kill(), spare.then((program) => program.kill())])
    },
  }
}

function forward(port: number, incoming: IncomingMessage, body: Buffer, response: ServerResponse): Promise<void> {
  const { method, url: path, headers } = incoming
  return new Promise((resolve, reject) => {
    // A connection of its own: a kept one would be that of a relay that is gone.
    const outgoing = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (answer) => {
      const { connection: _, 'keep-alive': __, ...kept } = answer.headers
      response.writeHead(answer.statusCode ?? 500, kept)
      answer.pipe(response).once('finish', resolve)
      answer.once('error', reject)
    })
    outgoing.once('error', reject).end(body)
  })
}

/** Has what was not due `goneMs` ago due `byMs` later. */
async function putOff(pool: pg.Pool, goneMs: number, byMs: number): Promise<void> {
  await pool.query(
    `with put_off as (
  update postcommit.global_transaction set due_at = due_at + by, deadline = deadline + by, ask_from = ask_from + by
  from (select $2::float8 * interval '1 millisecond' as by) time
  where finished_at is null and due_at > clock_timestamp() - $1::float8 * interval '1 millisecond'
  returning id
)
update postcommit.branch set due_at = due_at + $2::float8 * interval '1 millisecond'
where transaction_id in (select id from put_off) and status = 'prepared' and due_at is not null`,
    [goneMs, byMs],
  )
}
