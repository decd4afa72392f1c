import type { NatsConnection } from '@nats-io/transport-node'
import { Holding, hasMessage } from '../../broker/has-message.ts'
import { formatDuration } from '../../operators/duration.ts'
import type { Acknowledgement } from '../../store/broker/insert-broker-marks.ts'
import type { BrokerLoss } from '../../store/broker/select-broker-losses.ts'
import { reasonOf } from '../shell/sources.ts'
import { type Check, checksAbout } from './check.ts'

const { warn, fail } = checksAbout('nats')

/** As long as the alert that the operations guide proposes. */
const RECENT_MS = 3_600_000

/** Compares what streams have acknowledged with what they have, as relays do every half minute. Only what is wrong is told. */
export async function checkAcknowledged(
  connection: NatsConnection,
  acks: readonly Acknowledgement[],
  mayBeCreated: (stream: string) => boolean,
): Promise<readonly Check[]> {
  const streams = [...new Set(acks.map(({ stream }) => stream))]
  const checked = streams.map(async (stream) => {
    const name = `stream ${stream}`
    try {
      const found = await Promise.all(
        acks.filter((ack) => ack.stream === stream).map((ack) => hasMessage(connection, ack)),
      )
      if (found.includes(Holding.NoStream)) return [gone(stream, mayBeCreated(stream))]
      if (!found.includes(Holding.Lost)) return []
      const lost = 'it has lost what it acknowledged'
      return [
        fail(name, lost, 'A running relay publishes it again within half a minute: see that one runs, and its log.'),
      ]
    } catch (error) {
      return [
        warn(
          name,
          `cannot see whether it has what it acknowledged: ${reasonOf(error)}`,
          `Allow this user $JS.API.STREAM.MSG.GET.${stream} and $JS.API.STREAM.INFO.${stream}.`,
        ),
      ]
    }
  })
  return (await Promise.all(checked)).flat()
}

function gone(stream: string, isMade: boolean): Check {
  return fail(
    `stream ${stream}`,
    'it is gone, and had acknowledged messages',
    isMade
      ? 'A running relay makes it again within half a minute and publishes again what the log has: see its log.'
      : 'Create it, or set create: true for it: what the log has is published again then.',
  )
}

/** Losses that relays have found and put right: what the log no longer had, and consumers of the stream, are not back. */
export function checkLosses(source: string, losses: readonly BrokerLoss[]): readonly Check[] {
  const about = checksAbout(source)
  return losses.map(({ stream, ageMs, leftOut }) => {
    const left = leftOut === 0 ? '' : `, except ${leftOut} older than the retention`
    const detail = `it had lost what it acknowledged ${formatDuration(ageMs)} ago; it was published again${left}`
    const action = 'Find out what happened to its store. Delayed messages, and what others published, are not back.'
    return (ageMs < RECENT_MS ? about.fail : about.warn)(`stream ${stream}`, detail, action)
  })
}
