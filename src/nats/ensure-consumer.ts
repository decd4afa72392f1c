import { PostcommitError } from '../protocol/errors.ts'
import {
  type ConsumerConfig,
  type ConsumerInfo,
  insertConsumer,
  type NewConsumer,
  selectConsumer,
} from './consumer-info.ts'
import type { Requests } from './requests.ts'

/** The consumer a subscription wants; what is undefined is taken as it is found, or made with its default. */
export interface WantedConsumer {
  readonly stream: string
  readonly durable: string
  readonly subjects: readonly string[]
  readonly startAt: 'all' | 'new'
  /** The stamp to go on from if the consumer is gone although this subscription has read from it. */
  readonly resumeAt?: string | undefined
  readonly ackWaitMs: number | undefined
  readonly ackPendingMax: number | undefined
}

/** What a consumer is made with where nothing else was asked for. */
const CONSUMER_DEFAULTS = { ackWaitMs: 15_000, ackPendingMax: 4096 } as const

/**
 * Finds the durable consumer, or makes it.
 * @throws `POSTCOMMIT_CONSUMER_MISMATCH` if it is there and would lose, cut or hide messages, or is not what the
 * options say; `POSTCOMMIT_CONSUMER_UNAVAILABLE` if the server or the stream cannot be reached.
 */
export async function ensureConsumer(requests: Requests, wanted: WantedConsumer): Promise<ConsumerInfo> {
  const { stream, durable } = wanted
  const info = await findOrMake(requests, wanted).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new PostcommitError('POSTCOMMIT_CONSUMER_UNAVAILABLE', { stream, durable, reason }, { cause })
  })
  const reason = consumerProblem(info.config, wanted)
  if (reason === undefined) return info
  throw new PostcommitError('POSTCOMMIT_CONSUMER_MISMATCH', { stream, durable, reason })
}

async function findOrMake(requests: Requests, wanted: WantedConsumer): Promise<ConsumerInfo> {
  const found = await selectConsumer(requests, wanted.stream, wanted.durable)
  if (found !== undefined) return found
  const consumer: NewConsumer = {
    ...wanted,
    // "New" was meant for the first time. Made again it would skip what came since, and what was under way.
    start: wanted.startAt === 'new' && wanted.resumeAt !== undefined ? { atStamp: wanted.resumeAt } : wanted.startAt,
    ackWaitMs: wanted.ackWaitMs ?? CONSUMER_DEFAULTS.ackWaitMs,
    ackPendingMax: wanted.ackPendingMax ?? CONSUMER_DEFAULTS.ackPendingMax,
  }
  return await insertConsumer(requests, consumer)
}

/** Why a subscription cannot use a consumer, or undefined if it can. */
function consumerProblem(found: ConsumerConfig, wanted: WantedConsumer): string | undefined {
  if (found.isPush) return 'it is a push consumer'
  if (found.ackPolicy !== 'explicit') return `its ack_policy is ${found.ackPolicy}, not explicit`
  if (found.deliveriesMax !== -1)
    return `its max_deliver is ${found.deliveriesMax}: messages would be given up in silence`
  if (found.isHeadersOnly) return 'it delivers headers only'
  if (found.hasBackOff) return 'it has a backoff of its own: the subscription keeps the pauses'
  const subjects = [...wanted.subjects].sort()
  // Also what an old server makes of several subjects: it takes the request and forgets them.
  if (JSON.stringify(found.subjects) !== JSON.stringify(subjects)) {
    return `it delivers ${list(found.subjects)}, not ${list(subjects)}`
  }
  if (wanted.ackWaitMs !== undefined && found.ackWaitMs !== wanted.ackWaitMs) {
    return `its ack_wait is ${found.ackWaitMs} ms, not ${wanted.ackWaitMs}`
  }
  if (wanted.ackPendingMax !== undefined && found.ackPendingMax !== wanted.ackPendingMax) {
    return `its max_ack_pending is ${found.ackPendingMax}, not ${wanted.ackPendingMax}`
  }
  return undefined
}

function list(subjects: readonly string[]): string {
  return subjects.length === 0 ? 'the whole stream' : subjects.join(', ')
}
