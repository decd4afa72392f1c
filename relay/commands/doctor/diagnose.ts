import { PostcommitError } from 'postcommit/protocol'
import type { RelayConfig } from '../../config/schema.ts'
import { selectBrokerLosses } from '../../store/broker/select-broker-losses.ts'
import { selectNewestAcknowledgements } from '../../store/broker/select-newest-acknowledgements.ts'
import { selectWaitingTopics } from '../../store/topic/select-waiting-topics.ts'
import { openSource, reasonOf } from '../shell/sources.ts'
import { type Check, checksAbout } from './check.ts'
import { checkCoordinator } from './check-coordinator.ts'
import { checkDestinations } from './check-destinations.ts'
import { checkListeners } from './check-listeners.ts'
import { checkLog } from './check-log.ts'
import { type BrokerMemory, checkNats } from './check-nats.ts'
import { checkPostgres } from './check-postgres.ts'
import { checkRedisOutboxes } from './check-redis-outboxes.ts'
import { checkSchema } from './check-schema.ts'
import { checkLosses } from './check-streams.ts'

/** Everything that was looked at. */
export interface Diagnosis {
  readonly checks: readonly Check[]
  /** Whether every database answered. */
  readonly reachable: boolean
}

/** Makes every check that a configuration gives reason for. */
export async function diagnose(config: RelayConfig, cwd: string): Promise<Diagnosis> {
  const sources = await Promise.all(
    Object.entries(config.databases).map(([source, { url }]) => checkSource(source, url, config)),
  )
  const topics = [...new Set(sources.flatMap((source) => source.topics))]
  const acks = sources.flatMap((source) => source.acks)
  return {
    checks: [
      ...sources.flatMap((source) => source.checks),
      ...(await checkNats(config, cwd, { topics, acks })),
      ...(await checkDestinations(config)),
      ...(await checkListeners(config)),
    ],
    reachable: sources.every(({ reachable }) => reachable),
  }
}

interface SourceChecks extends BrokerMemory {
  readonly reachable: boolean
  readonly checks: readonly Check[]
}

const NOTHING: BrokerMemory = { topics: [], acks: [] }

async function checkSource(source: string, url: string, config: RelayConfig): Promise<SourceChecks> {
  const { ok, fail } = checksAbout(source)
  try {
    const { pool } = await openSource(source, url)
    try {
      const checks = [
        ok('connection', 'it answers'),
        ...(await checkPostgres(source, pool)),
        ...(await checkSchema(source, pool)),
      ]
      // The tables that the other checks read may not be there.
      const served = !checks.some(({ name, status }) => name === 'schema' && status === 'fail')
      if (!served) return { reachable: true, checks, ...NOTHING }
      return {
        reachable: true,
        checks: [
          ...checks,
          ...(await checkLog(source, pool, config)),
          ...checkLosses(source, await selectBrokerLosses(pool)),
          ...(await checkRedisOutboxes(source, pool)),
          ...(config.coordinator.database === source ? await checkCoordinator(pool, config) : []),
        ],
        topics: await selectWaitingTopics(pool),
        acks: await selectNewestAcknowledgements(pool),
      }
    } finally {
      await pool.end()
    }
  } catch (error) {
    if (error instanceof PostcommitError && error.code === 'POSTCOMMIT_DATABASE_UNREACHABLE') {
      return { reachable: false, checks: [fail('connection', reasonOf(error.cause), error.action)], ...NOTHING }
    }
    return {
      reachable: true,
      checks: [fail('checks', `could not be finished: ${reasonOf(error)}`, 'Run it as the user of the relay.')],
      ...NOTHING,
    }
  }
}
