import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import type pg from 'pg'
import type { Logger } from 'pino'
import { type ErrorCode, PostcommitError } from 'postcommit/protocol'
import { type Listening, listen } from '../http/http-server.ts'
import type { Metrics } from '../observe/metrics.ts'
import { EventHub } from '../operators/event-hub.ts'
import type { ReadableSource } from '../operators/readable-source.ts'
import { ANYBODY, Authenticator, type Caller } from './authenticator.ts'
import { asUnavailable, forbidden } from './carry-out.ts'
import { API_HOST, API_PORT, checkApiExposure } from './exposure.ts'
import { checkLocal } from './local-request.ts'
import type { BrokerState } from './operated.ts'
import { problemOf, Refused } from './problem.ts'
import { RateLimit, RateLimited } from './rate-limit.ts'
import type { ApiContext, Performing, Route } from './route.ts'
import { v1Routes } from './v1/routes.ts'

/** How the API of global transactions is served. */
export interface ApiOptions {
  /** Address to listen on, default `127.0.0.1`; another than loopback needs keys. */
  readonly host?: string
  /** Default 8484; 0 takes a free one. */
  readonly port?: number
  /**
   * `keys` (default): a request needs an API key, which `postcommit api-key create` makes. `none`: whoever reaches the
   * address may do everything; only on loopback.
   */
  readonly auth?: 'keys' | 'none'
  /** How many operations a second the keys of one tenant may ask this relay for; without it there is no limit. */
  readonly operationsPerSecond?: number
}

/** What the API is served with. */
export interface ApiSurroundings {
  /** Connections to the database of the transactions, for keys, lists and what people do; the caller ends them. */
  readonly pool: pg.Pool
  /** The transactions of the relay; undefined while they are not there yet. */
  readonly transactions: () => Performing | undefined
  /** What may subscribe to a topic. */
  readonly targets: ApiContext['targets']
  /** The source databases of the relay; the caller ends their pools. */
  readonly sources: readonly ReadableSource[]
  readonly broker: () => BrokerState
  readonly metrics: Metrics
  readonly log: Logger
}

/** A running API. */
export interface Api extends Listening {
  /** From now on requests are put off, so that clients go to another relay while this one drains. */
  drain(): void
}

/** From the first byte of a request to its last: a slow sender holds a connection and no more. */
const REQUEST_TIMEOUT_MS = 15_000
const CONNECTIONS_MAX = 5000
const RETRY_AFTER_SECONDS = 1

/**
 * Serves the relay's own API under `/v1`, and `/readyz` for load balancers.
 * @throws `POSTCOMMIT_API_EXPOSED`, `POSTCOMMIT_LISTEN_FAILED`.
 */
export async function startApi(options: ApiOptions, surroundings: ApiSurroundings): Promise<Api> {
  checkApiExposure(options)
  const { host = API_HOST, port = API_PORT, auth = 'keys', operationsPerSecond } = options
  const { pool, transactions, targets, sources, broker, metrics, log } = surroundings
  const events = new EventHub(sources)
  const operated = { sources, broker, events }
  let draining = false
  const app = createApp(log)
  app.server.maxConnections = CONNECTIONS_MAX
  const authenticator = new Authenticator(pool)
  const authenticate = (request: FastifyRequest) =>
    auth === 'none' ? anybodyHere(request) : authenticator.authenticate(request.headers.authorization)
  const limit = operationsPerSecond === undefined ? undefined : new RateLimit(operationsPerSecond)
  const charge: ApiContext['charge'] = (tenant, operations) => limit?.charge(tenant, operations)
  const common = { pool, transactions, targets, operated, metrics, charge, isDraining: () => draining }

  app.get('/readyz', async (_, answer) => {
    const status = draining ? 'draining' : transactions() === undefined ? 'not ready' : 'ready'
    return answer.code(status === 'ready' ? 200 : 503).send({ status })
  })
  for (const route of v1Routes) addRoute(app, route, { authenticate, limit, log, common })

  const server = await listen(app, 'api', { host, port })
  return {
    url: server.url,
    drain() {
      draining = true
      void events.close()
    },
    async close() {
      draining = true
      await events.close()
      await server.close()
    },
  }
}

function createApp(log: Logger): FastifyInstance {
  const app = fastify({
    logger: false,
    forceCloseConnections: 'idle',
    requestTimeout: REQUEST_TIMEOUT_MS,
    genReqId: () => randomUUID(),
    // `{gid}:verb`: the router knows only whole segments.
    rewriteUrl: ({ url = '/' }) => url.replace(VERB, '$1/~$2'),
    routerOptions: { maxParamLength: 512 },
    // Malformed before it is a request: what Node answers itself has no body, so this has none.
    frameworkErrors: (error, request, answer) => {
      sendProblem(answer, request.id, errorOfFramework(error, request, log))
    },
  })
  // As it came in: the parsers of the protocol read text, and whoever has no valid key is not read at all.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_, body, done) => done(null, body))
  app.setNotFoundHandler((request, answer) => {
    const { method, originalUrl } = request
    const path = originalUrl.replace(/\?.*$/, '')
    sendProblem(answer, request.id, new PostcommitError('POSTCOMMIT_UNKNOWN_ROUTE', { method, path }))
  })
  app.setErrorHandler((error, request, answer) => {
    sendProblem(answer, request.id, errorOfFramework(error, request, log))
  })
  return app
}

const VERB = /^(\/v1\/[^?]*?)(?::|%3[Aa])([A-Za-z]+)(?=$|\?)/

interface Surroundings {
  readonly authenticate: (request: FastifyRequest) => Promise<Caller | undefined> | Caller
  readonly limit: RateLimit | undefined
  readonly log: Logger
  readonly common: Omit<ApiContext, 'onUnknownError'>
}

/** Who asks for what needs no key. */
const NOBODY: Caller = { tenant: '', actor: '', scopes: new Set() }
const callers = new WeakMap<FastifyRequest, Caller>()

function addRoute(app: FastifyInstance, route: Route, { authenticate, limit, log, common }: Surroundings): void {
  const { method, path, bodyBytesMax, scope, isEndless = false } = route
  const { apiRequests, apiSeconds } = common.metrics
  app.route({
    method,
    url: path.replace(/:([A-Za-z]+)$/, '/~$1').replace(/\{(\w+)\}/g, ':$1'),
    bodyLimit: Math.max(1, bodyBytesMax),
    exposeHeadRoute: method === 'GET' && !isEndless,
    // Before the body is read.
    onRequest: async (request) => {
      if (scope === undefined) return
      const onUnknownError = logTo(log, request)
      const caller = await Promise.resolve(authenticate(request)).catch((error: unknown) => {
        throw asUnavailable(error, { onUnknownError })
      })
      if (caller === undefined) throw new PostcommitError('POSTCOMMIT_UNAUTHENTICATED')
      if (scope !== 'operation' && !caller.scopes.has(scope)) throw forbidden(scope)
      limit?.enter(caller.tenant)
      callers.set(request, caller)
    },
    onResponse: async (_, answer) => {
      apiRequests.inc({ route: path, method, status: answer.statusCode })
      apiSeconds.observe({ route: path }, answer.elapsedTime / 1000)
    },
    handler: async (request, answer) => {
      const { params, query, body } = request
      const context = { ...common, onUnknownError: logTo(log, request) }
      const call = {
        caller: callers.get(request) ?? NOBODY,
        params: params as Readonly<Record<string, string>>,
        query,
        text: typeof body === 'string' ? body : '',
        lastEventId: lastEventIdOf(request),
      }
      const reply = await route.handle(call, context)
      if ('events' in reply) return sendEvents(answer, reply.events)
      const { status, json } = reply
      if (json !== '') answer.type('application/json; charset=utf-8')
      return answer.code(status).send(json)
    },
  })
}

function lastEventIdOf({ headers }: FastifyRequest): string | undefined {
  const given = headers['last-event-id']
  return typeof given === 'string' && given !== '' ? given : undefined
}

/** Headers that keep proxies from holding events back. */
function sendEvents(answer: FastifyReply, events: Readable): FastifyReply {
  return answer
    .headers({ 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
    .type('text/event-stream; charset=utf-8')
    .send(events)
}

/** Logs what went wrong with a request, once: if the database is away, hundreds of its operations have the same to say. */
function logTo(log: Logger, { id, routeOptions }: FastifyRequest): (error: unknown) => void {
  let isLogged = false
  return (error) => {
    if (isLogged) return
    isLogged = true
    const text = error instanceof Error ? error.message : String(error)
    log.error({ request: id, route: routeOptions.url, error: text }, 'a request to the API failed')
  }
}

/** What went wrong, as an error of the table; what the framework says itself is translated by its code. */
function errorOfFramework(error: unknown, request: FastifyRequest, log: Logger): PostcommitError | Refused {
  if (error instanceof PostcommitError || error instanceof Refused) return error
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
  switch (code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new PostcommitError('POSTCOMMIT_UNSUPPORTED_MEDIA_TYPE')
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new PostcommitError('POSTCOMMIT_REQUEST_TOO_LARGE', { limit: request.routeOptions.bodyLimit })
    case 'FST_ERR_BAD_URL':
    case 'FST_ERR_MAX_PARAM_LENGTH':
    case 'FST_ERR_ASYNC_CONSTRAINT':
      return new PostcommitError('POSTCOMMIT_INVALID_REQUEST', { reason: 'its address cannot be read' })
  }
  if (isOfDatabase(error)) return asUnavailable(error, { onUnknownError: logTo(log, request) })
  if (isClientError(error)) return new PostcommitError('POSTCOMMIT_INVALID_REQUEST', { reason: 'it ended too early' })
  logTo(log, request)(error)
  return new PostcommitError('POSTCOMMIT_INTERNAL', { requestId: request.id })
}

/** An error of the server has an SQLSTATE, one of the way to it the name of a system call. */
function isOfDatabase(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if ('severity' in error || 'syscall' in error) return true
  return /^(Connection terminated|timeout exceeded|Query read timeout|Client has encountered)/.test(error.message)
}

function isClientError(error: unknown): boolean {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return false
  return typeof error.statusCode === 'number' && error.statusCode >= 400 && error.statusCode < 500
}

function sendProblem(answer: FastifyReply, requestId: string, error: PostcommitError | Refused): void {
  const problem = problemOf(error, requestId)
  const code = problem.code as ErrorCode
  if (problem.status === 401) answer.header('www-authenticate', 'Bearer')
  if (problem.status === 503) answer.header('retry-after', String(RETRY_AFTER_SECONDS))
  if (error instanceof RateLimited) answer.header('retry-after', String(Math.ceil(error.retryAfterMs / 1000)))
  // What is left of a body that is too long would be read as the next request.
  if (code === 'POSTCOMMIT_REQUEST_TOO_LARGE') answer.header('connection', 'close')
  answer.code(problem.status).type('application/problem+json').send(JSON.stringify(problem))
}

function anybodyHere({ headers }: FastifyRequest): Caller {
  checkLocal(headers, { allowExposed: false })
  return ANYBODY
}
