import { type JetStreamManager, jetstreamManager, type StreamConfig, type StreamInfo } from '@nats-io/jetstream'
import { type NatsConnection, nanos } from '@nats-io/transport-node'
import { PostcommitError } from 'postcommit/protocol'

/** A stream that the relay publishes to. */
export interface StreamOptions {
  readonly name: string
  /** What it takes; needed to create it, checked otherwise. */
  readonly subjects: readonly string[]
  /**
   * Create it if it is not there, also if it goes while the relay runs: that is an error, and what it had is published again.
   * Never done unasked: a stream that was removed may be meant to stay away.
   */
  readonly create?: boolean
  readonly replicas?: number
  /** How long messages stay, milliseconds; 0: for ever. */
  readonly maxAgeMs?: number
  /** How long JetStream recognises a repeated message, milliseconds. */
  readonly duplicateWindowMs?: number
}

const DUPLICATE_WINDOW_MS = 10 * 60_000

/** A stream as it was found: undefined if there is none of that name. */
export async function findStream(manager: JetStreamManager, name: string): Promise<StreamInfo | undefined> {
  return await manager.streams.info(name).catch((error: unknown) => {
    if (error instanceof Error && error.name === 'StreamNotFoundError') return undefined
    throw error
  })
}

/** Makes a stream as it is configured; one that is there with the same configuration is left alone. */
export async function makeStream(manager: JetStreamManager, options: StreamOptions): Promise<StreamInfo> {
  return await manager.streams.add(configOf(options))
}

/**
 * Sees that every configured stream is there and safe to publish to.
 *
 * @param horizonMs - the longest time in which this relay or its successor repeats a publish; a shorter duplicate
 * window would let repetitions through as new messages
 * @throws `POSTCOMMIT_STREAM_MISSING`, `POSTCOMMIT_STREAM_UNSUITABLE`.
 */
export async function ensureStreams(
  nc: NatsConnection,
  streams: readonly StreamOptions[],
  horizonMs: number,
): Promise<void> {
  const manager = await jetstreamManager(nc, { checkAPI: false })
  for (const options of streams) {
    const found = await findStream(manager, options.name)
    const info = found ?? (options.create === true ? await makeStream(manager, options) : undefined)
    if (info === undefined)
      throw new PostcommitError('POSTCOMMIT_STREAM_MISSING', { subject: options.subjects.join(', ') })
    const reason = problemOf(info, options, horizonMs)
    if (reason !== undefined)
      throw new PostcommitError('POSTCOMMIT_STREAM_UNSUITABLE', { stream: options.name, reason })
  }
}

function configOf(options: StreamOptions): Partial<StreamConfig> & { name: string } {
  return {
    name: options.name,
    subjects: [...options.subjects],
    num_replicas: options.replicas ?? 1,
    max_age: nanos(options.maxAgeMs ?? 0),
    duplicate_window: nanos(duplicateWindow(options)),
  }
}

/** JetStream refuses a duplicate window that is longer than the messages stay. */
function duplicateWindow({ maxAgeMs = 0, duplicateWindowMs = DUPLICATE_WINDOW_MS }: StreamOptions): number {
  return maxAgeMs === 0 ? duplicateWindowMs : Math.min(duplicateWindowMs, maxAgeMs)
}

function problemOf({ config }: StreamInfo, options: StreamOptions, horizonMs: number): string | undefined {
  const windowMs = config.duplicate_window / 1e6
  if (windowMs < horizonMs) {
    return `its duplicate window is ${windowMs} ms, and a message may be published again after ${horizonMs} ms`
  }
  if (config.no_ack === true) return 'it does not acknowledge (no_ack)'
  if (config.sealed === true) return 'it is sealed'
  const missing = options.subjects.filter((subject) => !(config.subjects ?? []).includes(subject))
  return missing.length > 0 ? `it does not take ${missing.join(', ')}` : undefined
}
