import { type JetStreamManager, jetstreamManager, type StreamInfo } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { isOwnSubject, LIMITS } from 'postcommit/protocol'
import { findStream } from '../../broker/streams.ts'
import { configuredStreams, repeatHorizonMs, takesInvalidations } from '../../config/configured-streams.ts'
import type { RelayConfig } from '../../config/schema.ts'
import { stagesIds } from '../../engine/nats-version.ts'
import type { Acknowledgement } from '../../store/broker/insert-broker-marks.ts'
import { natsConnection } from '../shell/relay-options.ts'
import { reasonOf } from '../shell/sources.ts'
import { type Check, checksAbout } from './check.ts'
import { checkAcknowledged } from './check-streams.ts'
import { checkSubjects } from './check-subjects.ts'

const CONNECT_TIMEOUT_MS = 3000
const { ok, warn, fail } = checksAbout('nats')

/** What the databases say of the broker. */
export interface BrokerMemory {
  /** Of messages that wait for it. */
  readonly topics: readonly string[]
  /** What it has acknowledged. */
  readonly acks: readonly Acknowledgement[]
}

/** The broker: version, JetStream, whether the streams are safe to publish to, and whether they have what they acknowledged. */
export async function checkNats(config: RelayConfig, cwd: string, memory: BrokerMemory): Promise<readonly Check[]> {
  const { nats } = config
  if (nats.servers.length === 0) {
    return [warn('connection', 'not configured: messages for NATS wait in the log', 'Set nats.servers.')]
  }
  let connection: NatsConnection
  try {
    connection = await connect({ ...natsConnection(nats, cwd), timeout: CONNECT_TIMEOUT_MS, reconnect: false })
  } catch (error) {
    return [
      fail(
        'connection',
        reasonOf(error),
        'Messages for NATS wait. Check nats.servers, the credentials and whether it runs.',
      ),
    ]
  }
  try {
    return [
      ...checkServer(connection),
      ...(await checkJetStream(connection, config, memory)),
      ...(await checkSubjects(connection, config.coordinator.checkSubjects)),
    ]
  } finally {
    await connection.close()
  }
}

function checkServer({ info }: NatsConnection): readonly Check[] {
  const version = info?.version ?? 'unknown'
  const limit = info?.max_payload ?? 0
  return [
    checkVersion(version),
    limit >= LIMITS.payloadBytesHard
      ? ok('max_payload', `${limit} bytes`)
      : warn(
          'max_payload',
          `${limit} bytes, and messages may have ${LIMITS.payloadBytesHard}`,
          'Raise it, or lower payloadBytesMax of the outbox: larger messages become dead letters.',
        ),
  ]
}

/** What is known of the versions of nats-server. */
export function checkVersion(version: string): Check {
  const [major, minor, patch] = (/^(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1) ?? []).map(Number)
  if (major === undefined || minor === undefined || patch === undefined) {
    return warn('version', `nats-server says that it is ${version}: nothing is known of it`, 'Run 2.11 or newer.')
  }
  const name = `nats-server ${version}`
  if (major < 2 || (major === 2 && minor < 9))
    return fail('version', `${name} is too old`, 'Upgrade to 2.9.10 or newer.')
  if (major === 2 && minor === 10 && patch >= 20 && patch <= 22) {
    return fail(
      'version',
      `${name} can lose whole streams when it is killed`,
      'Upgrade to 2.10.23 or newer (nats-server issue 6888).',
    )
  }
  const staging = stagesIds(version)
  if (staging !== undefined) return warn('version', `${name} ${staging.problem}`, staging.action)
  if (major === 2 && minor === 9) {
    return warn(
      'version',
      `${name} writes to disk every two minutes, however much it acknowledges`,
      'With 2.10 or newer, set sync_interval in the jetstream block.',
    )
  }
  return ok('version', name)
}

async function checkJetStream(
  connection: NatsConnection,
  config: RelayConfig,
  { topics, acks }: BrokerMemory,
): Promise<readonly Check[]> {
  let manager: JetStreamManager
  try {
    manager = await jetstreamManager(connection)
  } catch (error) {
    return [fail('JetStream', reasonOf(error), 'Start nats-server with -js, and allow this user the JetStream API.')]
  }
  const horizonMs = repeatHorizonMs(config)
  const streams = configuredStreams(config)
  const checked = streams.map(async (stream) => {
    const name = `stream ${stream.name}`
    try {
      const info = await findStream(manager, stream.name)
      if (info !== undefined) return [checkStream(info, horizonMs)]
      // Told with what it acknowledged.
      if (acks.some((ack) => ack.stream === stream.name)) return []
    } catch (error) {
      return [
        fail(name, reasonOf(error), `Allow this user $JS.API.STREAM.INFO.${stream.name}; see the nats-server's log.`),
      ]
    }
    return stream.create
      ? [ok(name, 'not there yet; a relay creates it within half a minute')]
      : [fail(name, 'it is missing', 'Create it, or set create: true for it.')]
  })
  const mayBeCreated = (name: string) => streams.some((stream) => stream.name === name && stream.create)
  return [
    ok('JetStream', 'on'),
    ...(await Promise.all(checked)).flat(),
    ...(await checkAcknowledged(connection, acks, mayBeCreated)),
    ...(await checkTopics(manager, topics)),
  ]
}

function checkStream({ config, state }: StreamInfo, horizonMs: number): Check {
  const name = `stream ${config.name}`
  const windowMs = config.duplicate_window / 1e6
  if (config.no_ack === true) return fail(name, 'it does not acknowledge (no_ack)', 'Turn no_ack off.')
  if (config.sealed === true) return fail(name, 'it is sealed', 'Publish to another stream.')
  if (windowMs < horizonMs) {
    return fail(
      name,
      `its duplicate window is ${windowMs} ms, and a message may be published again after ${horizonMs} ms`,
      'Widen its duplicate window, or shorten leaseMs.',
    )
  }
  if (config.storage === 'memory')
    return warn(
      name,
      'it keeps messages in memory only',
      'Use file storage: an acknowledged message should survive a restart.',
    )
  const { subjects = [] } = config
  if (takesInvalidations({ subjects }) && state.consumer_count === 0) {
    return warn(
      name,
      'no consumer applies the invalidations that it takes',
      'Call applyInvalidations() of postcommit/cache.',
    )
  }
  return ok(name, `takes ${subjects.join(', ')}`)
}

/** Topics that wait although a relay may be running. */
async function checkTopics(manager: JetStreamManager, topics: readonly string[]): Promise<readonly Check[]> {
  const homeless: string[] = []
  for (const topic of topics.slice(0, 100)) {
    const names = await manager.streams.names(topic).next()
    if (names.length === 0) homeless.push(topic)
  }
  const invalidations = homeless.filter(isOwnSubject)
  const others = homeless.filter((topic) => !isOwnSubject(topic))
  const waits = (topics: readonly string[], action: string) =>
    topics.length === 0
      ? []
      : [fail('subjects', `no stream takes ${topics.join(', ')}, of which messages wait`, action)]
  return [
    ...waits(others, 'Create a stream, or name one under nats.streams with create: true.'),
    ...waits(
      invalidations,
      'Caches learn of no change by other processes: set nats.cacheStream for a running relay, which makes it.',
    ),
  ]
}
