import { PostcommitError } from 'postcommit/protocol'
import { entryStream } from 'postcommit/redis-outbox'
import type { Destination } from '../destinations/destination.ts'
import type { SessionConfig } from '../postgres/sessions.ts'
import { REDIS_OUTBOX_DESTINATION } from '../store/redis-outbox/park-entries.ts'
import { createParkedDestination } from './parked-entries.ts'
import type { RedisOutboxSource } from './serve-redis-outbox.ts'

/** An outbox of which it is known where its entries go. */
export type ConfiguredOutbox = RedisOutboxSource & { readonly source: string }

/** The options of a relay that have to do with it. */
interface OutboxesOptions {
  readonly redisOutboxes?: readonly RedisOutboxSource[]
  readonly destinations?: Readonly<Record<string, unknown>>
  readonly handlers?: Readonly<Record<string, unknown>>
}

const BATCH_MAX = 5000

/** @throws `POSTCOMMIT_INVALID_OPTIONS` naming the outbox. */
export function configuredOutboxes(
  { redisOutboxes: outboxes = [], destinations = {}, handlers = {} }: OutboxesOptions,
  databases: Readonly<Record<string, SessionConfig>>,
): readonly ConfiguredOutbox[] {
  const sources = Object.keys(databases)
  if (outboxes.length > 0 && Object.hasOwn({ ...destinations, ...handlers }, REDIS_OUTBOX_DESTINATION)) {
    throw invalid(`${REDIS_OUTBOX_DESTINATION} is the name of the destination of entries that were set aside`)
  }
  const configured = outboxes.map((outbox) => {
    entryStream(outbox.redis, outbox.name)
    const { name, batch = 1, source = sources.length === 1 ? sources[0] : undefined } = outbox
    if (source === undefined || databases[source] === undefined) {
      throw invalid(
        `redisOutboxes: ${name} names ${source === undefined ? 'no database' : `the database ${source}, which is not there`}`,
      )
    }
    if (!Number.isInteger(batch) || batch < 1 || batch > BATCH_MAX) {
      throw invalid(`redisOutboxes: batch of ${name} is ${batch}, not an integer from 1 to ${BATCH_MAX}`)
    }
    return { ...outbox, source }
  })
  const twice = configured.find(({ name }, index) => configured.findIndex((other) => other.name === name) !== index)
  if (twice !== undefined) throw invalid(`redisOutboxes: ${twice.name} is there twice`)
  return configured
}

/** Where entries go that were set aside and requeued, if this relay applies entries. */
export function openParked(
  outboxes: readonly ConfiguredOutbox[],
  databases: Readonly<Record<string, SessionConfig>>,
): readonly Destination[] {
  return outboxes.length === 0 ? [] : [createParkedDestination(outboxes, databases)]
}

function invalid(reason: string): PostcommitError<'POSTCOMMIT_INVALID_OPTIONS'> {
  return new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: 'createRelay', reason })
}
