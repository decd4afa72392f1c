import type pg from 'pg'
import { NATS_DESTINATION } from 'postcommit/protocol'
import type { RelayConfig } from '../../config/schema.ts'
import { formatDuration } from '../../operators/duration.ts'
import { troubleText } from '../../operators/trouble-text.ts'
import { selectTrouble } from '../../store/broker/select-trouble.ts'
import { countDeliveries } from '../../store/delivery/count-deliveries.ts'
import { selectSequenceLag } from '../../store/log/advance-sequence.ts'
import { countDefaultPartition } from '../../store/log/count-default-partition.ts'
import { selectLogBacklog } from '../../store/log/select-log-backlog.ts'
import { selectLogProgress } from '../../store/log/select-log-progress.ts'
import { selectPartitions } from '../../store/log/select-partitions.ts'
import { selectPositions } from '../../store/log/select-positions.ts'
import { selectRelays } from '../../store/member/select-relays.ts'
import { selectInstallation } from '../../store/server/select-installation.ts'
import { type Check, checksAbout } from './check.ts'

const OLD_MS = 60_000

/** Whether messages of a source move: relays, room in the log, and what waits. */
export async function checkLog(source: string, pool: pg.Pool, config: RelayConfig): Promise<readonly Check[]> {
  return [
    ...(await checkRelays(source, pool)),
    ...(await checkTroubles(source, pool)),
    ...(await checkRoom(source, pool)),
    ...(await checkWaiting(source, pool, config)),
  ]
}

async function checkRelays(source: string, pool: pg.Pool): Promise<readonly Check[]> {
  const { ok, warn } = checksAbout(source)
  const relays = await selectRelays(pool)
  const running = relays.filter(({ alive, leaseMs }) => alive && leaseMs > 0)
  if (running.length === 0) return [warn('relays', 'none is running', 'Start one: postcommit run')]
  const orphans = (await selectPositions(pool)).filter(({ owner }) => owner === null)
  return [
    ok('relays', `${running.map(({ name, version }) => `${name} (${version})`).join(', ')}`),
    orphans.length === 0
      ? ok('shards', 'each has a relay that publishes it')
      : warn(
          'shards',
          `no relay publishes ${orphans.map(({ shard }) => shard).join(', ')}`,
          'See the log of the relays: is NATS configured and reachable from there?',
        ),
  ]
}

/** What running relays say is in their way: messages do not move for it. */
async function checkTroubles(source: string, pool: pg.Pool): Promise<readonly Check[]> {
  const { fail } = checksAbout(source)
  return (await selectTrouble(pool)).map((trouble) =>
    fail('in the way', troubleText(trouble), actionFor(trouble.cause)),
  )
}

function actionFor(cause: string): string {
  switch (cause) {
    case 'full':
      return 'Raise the limits of the stream, or have its messages consumed or aged out.'
    case 'sealed':
      return 'A sealed stream never takes messages again: have another stream take the subject.'
    case 'missing':
      return 'Create a stream that takes it, or name one under nats.streams with create: true.'
    case 'denied':
      return 'Allow the user of the relay to publish to it.'
    case 'foreign':
      return 'Move what answers on it to another subject, and see that a stream takes it.'
    case 'away':
      return 'Nothing is lost. See that it runs and can be reached from the relay.'
    default:
      return 'Nothing is lost. See that nats-server runs, that the stream has a leader, and what its log says.'
  }
}

async function checkRoom(source: string, pool: pg.Pool): Promise<readonly Check[]> {
  const { ok, warn, fail } = checksAbout(source)
  const { partitionSize } = await selectInstallation(pool)
  const { sequence } = await selectLogProgress(pool)
  const newest = (await selectPartitions(pool)).at(-1)?.end ?? 0n
  const lag = await selectSequenceLag(pool)
  const astray = await countDefaultPartition(pool)
  return [
    lag === undefined
      ? ok('sequence', 'beyond every id of the log')
      : fail(
          'sequence',
          `it is at ${lag.sequence}, and there are ids up to ${lag.highest}: it was set back`,
          'A running relay puts it right; until then commits may fail with 23505.',
        ),
    newest - sequence > partitionSize / 2n
      ? ok('partitions', `made ahead for ${newest - sequence} more messages`)
      : warn(
          'partitions',
          `only ${newest > sequence ? newest - sequence : 0n} messages have room`,
          'A running relay makes them ahead. Nothing is lost without: messages go to the default partition.',
        ),
    ...(astray === 0
      ? []
      : [
          warn(
            'default partition',
            `${astray} messages arrived without a partition of their own`,
            'They are delivered like all others, and deleted after retention.',
          ),
        ]),
  ]
}

async function checkWaiting(source: string, pool: pg.Pool, { destinations }: RelayConfig): Promise<readonly Check[]> {
  const { ok, warn } = checksAbout(source)
  const log = await selectLogBacklog(pool)
  const deliveries = await countDeliveries(pool)
  const dead = deliveries.filter(({ state }) => state === 'dead')
  const unknown = deliveries.filter(
    ({ state, destination }) =>
      state !== 'dead' && destination !== NATS_DESTINATION && destinations[destination] === undefined,
  )
  const oldestMs = (log.oldestAgeSeconds ?? 0) * 1000
  return [
    log.messages === null
      ? warn('log', 'what waits is not known, because the log was written elsewhere', 'See the check of the cluster.')
      : oldestMs > OLD_MS
        ? warn(
            'log',
            `${log.messages} messages wait for the broker, the oldest for ${formatDuration(oldestMs)}`,
            'See: postcommit list --state waiting',
          )
        : ok('log', `${log.messages} messages wait for the broker`),
    ...dead.map(({ destination, count }) =>
      warn(
        'dead letters',
        `${count} for ${destination}`,
        `See: postcommit dead-letter list --destination ${destination}`,
      ),
    ),
    ...unknown.map(({ destination, count }) =>
      warn(
        'unknown destination',
        `${count} messages wait for ${destination}, which is not configured here`,
        'Configure it, unless it is a handler of another relay.',
      ),
    ),
  ]
}
