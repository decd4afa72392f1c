import { fastify } from 'fastify'
import { within } from 'postcommit/protocol'
import type { Registry } from 'prom-client'
import { bearsToken } from '../http/bearer-token.ts'
import { type ListenAddress, type Listening, listen } from '../http/http-server.ts'
import { watchEventLoop } from './event-loop.ts'

/** What the health server tells about, without asking any server itself. */
export interface ObservedHealth {
  readonly sources: readonly {
    readonly source: string
    /** Milliseconds since the last successful read; undefined before the first. */
    readonly readAgeMs: number | undefined
    readonly problem: string | undefined
    readonly doubt?: string | undefined
  }[]
  readonly nats: {
    readonly configured: boolean
    readonly connected: boolean
    readonly problem: string | undefined
    /** What keeps messages from it. */
    readonly trouble?: readonly object[]
  }
}

/** How to serve health and metrics. */
export interface HealthServerOptions extends ListenAddress {
  /** Demanded as bearer token by everything that tells more than yes or no. */
  readonly token?: string | undefined
  readonly health: () => ObservedHealth
  readonly registry: Registry
  /** Brings gauges up to date that cost a query; called at most every `REFRESH_MS`, and never twice at once. */
  readonly refresh: () => Promise<void>
}

/** A running server. */
export interface HealthServer extends Listening {
  /** From now on /readyz says no, so that nothing new is sent here while the relay drains. */
  drain(): void
}

/** A source that has not been read for longer is not being served. */
const READ_AGE_MAX_MS = 10_000
const LAG_MAX_MS = 5000
const REFRESH_MS = 2000
const REFRESH_WAIT_MS = 3000

/**
 * Serves `/livez` (this process turns its event loop), `/readyz` (every source is being read) and `/metrics`.
 *
 * That NATS is away is told and does not make a relay unready: it could not do anything better elsewhere.
 * @throws `POSTCOMMIT_LISTEN_FAILED`.
 */
export async function startHealthServer(options: HealthServerOptions): Promise<HealthServer> {
  const { health, registry } = options
  const app = fastify({ logger: false, forceCloseConnections: true, bodyLimit: 1024, requestTimeout: 10_000 })
  const loop = watchEventLoop()
  const refresh = oneAtATime(options.refresh)
  let draining = false

  app.get('/livez', async (_, reply) => {
    const lagMs = Math.round(loop.lagMs())
    return reply.code(lagMs < LAG_MAX_MS ? 200 : 503).send({ status: lagMs < LAG_MAX_MS ? 'alive' : 'starved', lagMs })
  })

  app.get('/readyz', async (request, reply) => {
    const { sources, nats } = health()
    const unread = sources.filter(({ readAgeMs }) => readAgeMs === undefined || readAgeMs > READ_AGE_MAX_MS)
    const status = draining ? 'draining' : unread.length > 0 || sources.length === 0 ? 'not ready' : 'ready'
    const details = bearsToken(request.headers, options.token) ? { sources: sources.map(describeSource), nats } : {}
    return reply.code(status === 'ready' ? 200 : 503).send({ status, ...details })
  })

  app.get('/metrics', async (request, reply) => {
    if (!bearsToken(request.headers, options.token)) {
      return reply.code(401).header('www-authenticate', 'Bearer').send({ status: 'unauthenticated' })
    }
    // What cannot be counted in time keeps its last value; the counters of this process are worth showing alone.
    await within(REFRESH_WAIT_MS, refresh(), () => undefined).catch(() => undefined)
    return reply.type(registry.contentType).send(await registry.metrics())
  })

  const server = await listen(app, 'http', options)
  return {
    ...server,
    drain() {
      draining = true
    },
    async close() {
      loop.stop()
      await server.close()
    },
  }
}

function describeSource({ source, readAgeMs, problem, doubt }: ObservedHealth['sources'][number]) {
  return {
    source,
    readAgeMs: readAgeMs === undefined ? null : Math.round(readAgeMs),
    problem: problem ?? null,
    doubt: doubt ?? null,
  }
}

/** Callers that come together share one run, and a run is not repeated within `REFRESH_MS`. */
function oneAtATime(run: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  let startedAt = Number.NEGATIVE_INFINITY
  return () => {
    if (running === undefined && performance.now() - startedAt < REFRESH_MS) return Promise.resolve()
    if (running === undefined) {
      startedAt = performance.now()
      running = run().finally(() => {
        running = undefined
      })
    }
    return running
  }
}
