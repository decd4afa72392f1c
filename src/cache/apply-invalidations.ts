import { NO_STREAM } from '../nats/consumer-info.ts'
import type { NatsConnectionLike } from '../nats/nats-connection.ts'
import { subscribe, warnOfTrouble } from '../nats/subscribe.ts'
import type { SubscriptionTrouble } from '../nats/subscribe-options.ts'
import type { Subscription } from '../nats/subscription.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { CACHE_STREAM, INVALIDATION_SUBJECT, type InvalidationPayload } from '../protocol/invalidation.ts'
import type { Cache } from './cache.ts'

/** What {@link applyInvalidations} takes. */
export interface ApplyInvalidationsOptions {
  /** A connection of `@nats-io/transport-node` or of `nats` 2.x that reconnects for ever. */
  readonly connection: NatsConnectionLike
  /** The stream that takes `postcommit.cache.>`, default `POSTCOMMIT_CACHE`: a relay makes it with `nats.cacheStream`. */
  readonly stream?: string
  /** The durable consumer: one for each place with values of its own; the processes that share such a place share it. */
  readonly durable: string
  /** The caches to apply to; an invalidation is done when all of them have applied it. */
  readonly caches: readonly Cache[]
  /** Only the invalidations of this name. */
  readonly name?: string
  /**
   * Compares a part of the invalidated values with the database some time after their invalidation, chosen at random,
   * and counts in `cache.stats` what is still old. 0.01 is one in a hundred; default 0.
   */
  readonly verify?: { readonly sample: number; readonly afterMs?: number }
  /** Told of what is tried again. The default emits a process warning. */
  readonly onError?: (error: unknown, about: SubscriptionTrouble) => void
}

const VERIFY_AFTER_MS = 1000

/**
 * Applies the invalidations of committed transactions to caches, each until it is applied, in order per key.
 *
 * It may run beside the readers or in a process of its own, once or many times. What the committing process has
 * applied already is recognised and changes nothing. A cache that cannot be reached keeps its invalidations waiting;
 * when it is back it is not believed before they are applied. While the stream is not there, `onError` is told
 * (`POSTCOMMIT_CACHE_STREAM_MISSING`) and it is tried again.
 *
 * @throws what `subscribe` throws.
 * @example
 * ```ts
 * const applying = await applyInvalidations({ connection, durable: 'shop-cache', caches: [cache] })
 * // …
 * await applying.stop()
 * ```
 */
export async function applyInvalidations(options: ApplyInvalidationsOptions): Promise<Subscription> {
  const { connection, stream = CACHE_STREAM, durable, caches, name = '>', verify, onError = warnOfTrouble } = options
  return await subscribe<InvalidationPayload | undefined>({
    connection,
    stream,
    durable,
    subjects: `${INVALIDATION_SUBJECT}.${name}`,
    // The values of a service are many keys; most of the time of each is the way to the store and back.
    concurrency: 64,
    // How long those wait that a killed process was at.
    ackWaitMs: 1000,
    backOff: { baseMs: 50, capMs: 1000 },
    parse: readInvalidation,
    onError: (error, about) => onError(isStreamMissing(error) ? streamMissing(stream, error) : error, about),
    async handle({ id: invalidationId, topic, payload }) {
      // Nothing that was ever an invalidation; waiting for it to become one would keep its key waiting.
      if (payload === undefined) return
      const of = topic.slice(INVALIDATION_SUBJECT.length + 1)
      const results = await Promise.allSettled(caches.map((cache) => cache.apply(of, payload.key, invalidationId)))
      for (const result of results) if (result.status === 'rejected') throw result.reason
      if (verify !== undefined && payload.id !== undefined && Math.random() < verify.sample) {
        for (const cache of caches) cache.verifyLater(of, payload.id, verify.afterMs ?? VERIFY_AFTER_MS)
      }
    },
  })
}

function isStreamMissing(error: unknown): boolean {
  const { cause } = error instanceof Error ? error : {}
  return cause instanceof Error && 'code' in cause && cause.code === NO_STREAM
}

function streamMissing(stream: string, cause: unknown): PostcommitError<'POSTCOMMIT_CACHE_STREAM_MISSING'> {
  return new PostcommitError('POSTCOMMIT_CACHE_STREAM_MISSING', { stream }, { cause })
}

function readInvalidation(value: unknown): InvalidationPayload | undefined {
  if (typeof value !== 'object' || value === null || !('key' in value) || typeof value.key !== 'string')
    return undefined
  return { key: value.key, ...('id' in value && { id: value.id }) }
}
