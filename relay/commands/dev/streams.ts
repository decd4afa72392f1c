import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream'
import { connect, nanos } from '@nats-io/transport-node'
import { isOwnSubject } from 'postcommit/protocol'
import { selectWaitingTopics } from '../../store/topic/select-waiting-topics.ts'
import { pause } from '../shell/pause.ts'
import type { OpenSource } from '../shell/sources.ts'

/** The stream that `dev` makes. */
export const DEV_STREAM = 'POSTCOMMIT_DEV'

const LOOK_MS = 200
const DUPLICATE_WINDOW_MS = 10 * 60_000

/**
 * Makes the first `message.publish()` of a newcomer arrive: subjects that wait because no stream takes them are added
 * to one stream, by their first token. A stream for everything is no way out: with `>` it would also take the
 * requests to JetStream's own API. Never done to a broker that was not started for this.
 *
 * @returns what ends it
 */
export async function keepDevStream(sources: readonly OpenSource[], url: string): Promise<() => Promise<void>> {
  const connection = await connect({ servers: url, maxReconnectAttempts: -1 })
  const manager = await jetstreamManager(connection)
  const stop = new AbortController()

  async function look(): Promise<void> {
    const topics = (await Promise.all(sources.map(({ pool }) => selectWaitingTopics(pool)))).flat()
    const homeless = new Set<string>()
    for (const topic of topics) {
      // Invalidations have a stream of their own, which the relay makes.
      if (!isOwnSubject(topic) && !(await hasStream(manager, topic))) homeless.add(topic.split('.', 1)[0] ?? topic)
    }
    if (homeless.size > 0)
      await takeIn(
        manager,
        [...homeless].flatMap((token) => [token, `${token}.>`]),
      )
  }

  async function keep(): Promise<void> {
    while (!stop.signal.aborted) {
      // A server that is being restarted is asked again.
      await look().catch(() => undefined)
      await pause(LOOK_MS, stop.signal)
    }
  }

  const keeping = keep()
  return async () => {
    stop.abort()
    await keeping
    await connection.close()
  }
}

async function hasStream(manager: JetStreamManager, subject: string): Promise<boolean> {
  for await (const _ of manager.streams.names(subject)) return true
  return false
}

async function takeIn(manager: JetStreamManager, subjects: readonly string[]): Promise<void> {
  const found = await manager.streams.info(DEV_STREAM).catch(() => undefined)
  if (found === undefined) {
    await manager.streams.add({
      name: DEV_STREAM,
      subjects: [...subjects],
      duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    })
  } else {
    const all = new Set([...(found.config.subjects ?? []), ...subjects])
    await manager.streams.update(DEV_STREAM, { ...found.config, subjects: [...all] })
  }
}
