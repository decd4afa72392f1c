import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { LIMITS, PostcommitError } from 'postcommit/protocol'
import type { Registry } from 'prom-client'
import { bearsToken } from '../../http/bearer-token.ts'
import { RELAY_VERSION } from '../../version.ts'
import { checkLocal, type LocalRules } from '../local-request.ts'
import { DtmError } from './dtm-error.ts'
import { answerJsonRpc } from './dtm-json-rpc.ts'
import type { DtmStory } from './dtm-story.ts'
import type { DtmTopics } from './dtm-topics.ts'
import type { DtmTransactions } from './dtm-transactions.ts'
import { newGid } from './new-gid.ts'
import { type Fields, readFields, readGid, readStrings, readTransRequest } from './trans-request.ts'

/** What DTM's routes lead to. */
export interface DtmServed {
  readonly transactions: DtmTransactions
  readonly story: DtmStory
  readonly topics: DtmTopics
}

/** How DTM's routes are made. */
export interface DtmAppOptions extends LocalRules {
  /** Undefined while there are no transactions: the relay is being started or stopped. */
  readonly served: () => DtmServed | undefined
  readonly registry: Registry
  /** Off: where DTM is less careful, so is this. */
  readonly strict: boolean
  /** Demanded by the metrics. */
  readonly metricsToken: string | undefined
}

type Handler = (request: FastifyRequest) => Promise<unknown> | unknown

const PREFIX = '/api/dtmsvr'
const WORKFLOW = '/prepareWorkflow'
/** How far back unfinished transactions are looked for, seconds: three times DTM's time to fail. */
const RESET_AFTER = '105'
const LIMIT = '100'
const LIMIT_MAX = 1000

/** DTM's HTTP interface, not listening yet. It has no authentication, as DTM has none. */
export function createDtmApp(options: DtmAppOptions): FastifyInstance {
  const { strict } = options
  const served = () => present(options.served())
  const app = fastify({
    logger: false,
    forceCloseConnections: true,
    bodyLimit: LIMITS.batchBytes,
    requestTimeout: 30_000,
    routerOptions: { maxParamLength: 1024 },
  })
  // DTM reads every body as JSON, whatever it is said to be.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (_, body, done) => done(null, body))
  app.addHook('onRequest', async ({ headers }) => checkLocal(headers, options))
  app.setErrorHandler((error, request, reply) => tell(reply, error, request))
  app.setNotFoundHandler((_, reply) => reply.code(404).type('text/plain').send('404 page not found'))

  const get = (path: string, handler: Handler) => app.get(PREFIX + path, wrapped(handler))
  const post = (path: string, handler: Handler) => app.post(PREFIX + path, wrapped(handler))
  const trans = (request: FastifyRequest) => readTransRequest(jsonOf(request), strict)
  const gidOf = (request: FastifyRequest) => readGid(readFields(jsonOf(request))['gid'] ?? '', strict)

  get('/version', () => ({ version: `v${RELAY_VERSION}` }))
  get('/newGid', () => ({ gid: newGid(), dtm_result: 'SUCCESS' }))
  post('/prepare', (request) => served().transactions.prepare(trans(request)))
  post('/submit', (request) => served().transactions.submit(trans(request)))
  post('/abort', (request) => served().transactions.abort(trans(request)))
  post('/forceStop', (request) => served().transactions.forceStop(gidOf(request)))
  post('/resetNextCronTime', (request) => served().transactions.resetNextCronTime(gidOf(request)))
  for (const path of ['/registerBranch', '/registerXaBranch', '/registerTccBranch']) {
    post(path, (request) => served().transactions.registerBranch(readStrings(jsonOf(request))))
  }
  post(WORKFLOW, () => {
    throw new DtmError('workflows are not served here')
  })
  get('/query', (request) => {
    const gid = parameter(request, 'gid')
    if (gid === '') throw new DtmError('no gid specified')
    return served().story.query(gid)
  })
  get('/all', (request) =>
    served().story.page({
      gid: parameter(request, 'gid'),
      position: positionOf(request),
      limit: limitOf(request),
      status: parameter(request, 'status'),
      transType: parameter(request, 'transType'),
      createdFromMs: timeOf(request, 'createTimeStart'),
      createdUntilMs: timeOf(request, 'createTimeEnd'),
    }),
  )
  get('/resetCronTime', (request) =>
    served().transactions.resetCronTime(whole(parameter(request, 'timeout') || RESET_AFTER), limitOf(request)),
  )
  get('/subscribe', (request) =>
    served().topics.subscribe(parameter(request, 'topic'), parameter(request, 'url'), parameter(request, 'remark')),
  )
  get('/unsubscribe', (request) => served().topics.unsubscribe(parameter(request, 'topic'), parameter(request, 'url')))
  app.delete(
    `${PREFIX}/topic/:topicName`,
    wrapped((request) => served().topics.delete(String(readFields(request.params)['topicName']))),
  )
  get('/queryKV', (request) => served().topics.query(parameter(request, 'cat'), parameter(request, 'key')))
  get('/scanKV', (request) => served().topics.scan(parameter(request, 'cat'), positionOf(request), limitOf(request)))
  addBesides(app, served, options)
  return app
}

/** What DTM serves beside its own prefix. */
function addBesides(app: FastifyInstance, served: () => DtmServed, { registry, strict, metricsToken }: DtmAppOptions) {
  app.get('/api/metrics', async ({ headers }, reply) => {
    if (!bearsToken(headers, metricsToken)) {
      return reply.code(401).header('www-authenticate', 'Bearer').send({ message: 'the metrics need the token' })
    }
    return reply.type(registry.contentType).send(await registry.metrics())
  })
  app.all('/api/ping', () => ({ msg: 'pong' }))
  app.post('/api/json-rpc', async (request, reply) => {
    const { status, answer } = await answerJsonRpc(request.body, { served, strict })
    return reply.code(status).send(answer)
  })
}

function present(served: DtmServed | undefined): DtmServed {
  if (served === undefined) throw new DtmError('the relay is being started or stopped; try again')
  return served
}

function wrapped(handler: Handler) {
  return async (request: FastifyRequest, reply: FastifyReply) => {
    try {
      return await reply.send((await handler(request)) ?? { dtm_result: 'SUCCESS' })
    } catch (error) {
      return tell(reply, error, request)
    }
  }
}

/** DTM's answer to everything that did not work: a refused request, a gid that is not there and a crash are all 500. */
function tell(reply: FastifyReply, error: unknown, request: FastifyRequest): FastifyReply {
  const message = error instanceof Error ? error.message : String(error)
  if (request.routeOptions.url === PREFIX + WORKFLOW) return reply.code(200).send(failedWorkflow(request, message))
  if (error instanceof PostcommitError && error.code === 'POSTCOMMIT_FORBIDDEN')
    return reply.code(403).send({ message })
  if (!(error instanceof DtmError)) return reply.code(500).send({ message })
  switch (error.kind) {
    case 'failure':
      return reply.code(409).send({ dtm_result: 'FAILURE', message })
    case 'ongoing':
      return reply.code(425).send({ dtm_result: 'ONGOING', message })
    case 'other':
      return reply.code(500).send({ message })
  }
}

/**
 * The clients of workflows look at no status and read `transaction` of whatever comes; those in Go end the process of
 * the service if there is none. A workflow that has failed ends with its reason as an ordinary error.
 */
function failedWorkflow(request: FastifyRequest, reason: string): Fields {
  let gid: unknown = ''
  try {
    gid = readFields(jsonOf(request))['gid']
  } catch {
    // It is refused all the same.
  }
  const status = { gid: typeof gid === 'string' ? gid : '', status: 'failed', rollback_reason: reason }
  return { transaction: status, progresses: [] }
}

function jsonOf({ body }: FastifyRequest): unknown {
  try {
    return JSON.parse(typeof body === 'string' ? body : '') as unknown
  } catch {
    throw new DtmError('the body is not JSON')
  }
}

function parameter(request: FastifyRequest, name: string): string {
  const value = (request.query as Fields)[name] ?? ''
  const first: unknown = Array.isArray(value) ? value[0] : value
  return typeof first === 'string' ? first.replaceAll('\0', '') : ''
}

function whole(value: string): number {
  if (!/^[+-]?\d{1,15}$/.test(value)) throw new DtmError(`convert to int error: ${value}`)
  return Number(value)
}

function limitOf(request: FastifyRequest): number {
  return Math.min(LIMIT_MAX, Math.max(1, whole(parameter(request, 'limit') || LIMIT)))
}

function positionOf(request: FastifyRequest): string {
  const position = parameter(request, 'position')
  return position === '' ? '' : String(whole(position))
}

/** DTM counts in seconds. */
function timeOf(request: FastifyRequest, name: string): number | undefined {
  const value = parameter(request, name)
  return value === '' ? undefined : Math.trunc(whole(value) / 1000) * 1000
}
