import { findStandstills } from '../../operators/find-standstills.ts'
import { type Overview, readOverview } from '../../operators/read-overview.ts'
import type { ReadableSource } from '../../operators/readable-source.ts'
import { BACKLOG_COUNT_MAX } from '../../store/log/select-log-backlog.ts'
import { ask, checkWholeDatabase } from '../operated.ts'
import { type ApiContext, type Route, shown } from '../route.ts'
import { OverviewView } from './operated-views.ts'

/** How everything stands. What cannot be read is null, and named; it is never 0. */
export const overviewRoute: Route = {
  method: 'GET',
  path: '/v1/overview',
  summary: 'What waits, what stands still and why, and which relays run',
  tag: 'messages',
  scope: 'read',
  bodyBytesMax: 0,
  answers: { 200: { description: 'Each source database by itself.', schema: OverviewView } },
  handle: async ({ caller }, context) => {
    checkWholeDatabase(caller)
    const { sources, broker } = context.operated
    const { configured, connected, problem } = broker()
    return shown({
      countMax: BACKLOG_COUNT_MAX,
      broker: { configured, connected: configured ? connected : null, problem: problem ?? null },
      sources: await Promise.all(sources.map((source) => viewOf(source, context))),
    })
  },
}

const NOTHING_KNOWN = {
  log: { messages: null, oldestAgeSeconds: null },
  deliveries: null,
  transactions: null,
  standstills: null,
  relays: null,
  shards: null,
  losses: null,
  origin: null,
  doubt: null,
}

async function viewOf(source: ReadableSource, context: ApiContext) {
  try {
    const overview = await ask(source, context, () => readOverview(source.pool))
    return { source: source.source, problem: null, ...view(overview) }
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    return { source: source.source, problem, unknown: Object.keys(NOTHING_KNOWN), ...NOTHING_KNOWN }
  }
}

function view(overview: Overview) {
  const { log, origin, doubt, deliveries, transactions, losses, relays } = overview
  return {
    unknown: [
      ...(log.messages === null ? ['log'] : []),
      ...(deliveries === null ? ['deliveries'] : []),
      ...(relays.some(({ claims }) => claims === null) ? ['relays.claims'] : []),
    ],
    log,
    deliveries,
    transactions,
    standstills: findStandstills(overview),
    relays: relays.map(({ name, version, destinations, startedAt, alive, leaseMs, claims }) => ({
      name,
      version,
      alive: alive && leaseMs > 0,
      destinations,
      startedAt,
      claims,
    })),
    shards: overview.shards.map(({ shard, owner, epoch, low, snapshot, stream, streamSequence, savedAgeMs }) => ({
      shard,
      owner,
      epoch,
      low,
      snapshot,
      stream,
      streamSequence,
      savedAgeMs,
    })),
    losses,
    origin,
    doubt,
  }
}
