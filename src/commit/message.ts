import type { CollectedInvalidation, Invalidatable } from '../invalidation.ts'
import { NATS_DESTINATION, parseDestination, parsePath } from '../protocol/destination.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { ENVELOPE, parseHeaders } from '../protocol/headers.ts'
import { type InvalidationPayload, invalidationKey, invalidationTopic } from '../protocol/invalidation.ts'
import { parseKey } from '../protocol/key.ts'
import { LIMITS } from '../protocol/limits.ts'
import { parseSubject } from '../protocol/subject.ts'
import { describeIssues, type SchemaInput, type SchemaResult, type StandardSchema } from '../standard-schema.ts'
import type { CollectedMessage, Delivery } from '../store/collected-message.ts'
import { encodePayload } from './payload.ts'

/** Schemas of the messages a service publishes, by topic. */
export type MessageSchemas = Readonly<Record<string, StandardSchema>>

type Topic<Schemas> = string extends keyof Schemas ? string : Extract<keyof Schemas, string>
type Payload<Schemas, T> = T extends keyof Schemas ? SchemaInput<Schemas[T]> | Uint8Array : unknown

/** How a message is sent. */
export interface MessageOptions {
  /**
   * Messages with the same key reach a destination in the order of their commits: a failing one holds back those
   * behind it and nobody else's. 1 to 255 characters.
   */
  readonly key?: string
  /** Handed to the subscriber or handler as they are; lower-case names, visible ASCII values. */
  readonly headers?: Readonly<Record<string, string>>
  /**
   * Not before this many milliseconds after the commit's insert, or not before this time (by the database's clock).
   * A delayed message takes no part in the order of its key.
   */
  readonly deliverAfter?: number | Date
}

/** Collects what a transaction wants to happen after its commit. Nothing is sent by calling these. */
export interface MessageDraft<Schemas extends MessageSchemas = MessageSchemas> {
  /**
   * Publishes to NATS JetStream.
   *
   * @param topic - the subject; tokens of `A-Z a-z 0-9 _ -` joined by dots
   * @param payload - a JSON value, checked by the topic's schema if there is one, or bytes sent as they are
   * @throws `POSTCOMMIT_INVALID_SUBJECT`, `POSTCOMMIT_UNKNOWN_MESSAGE`, `POSTCOMMIT_SCHEMA_MISMATCH`,
   * `POSTCOMMIT_INVALID_PAYLOAD`, `POSTCOMMIT_PAYLOAD_TOO_LARGE`, `POSTCOMMIT_INVALID_KEY`,
   * `POSTCOMMIT_INVALID_HEADER`, `POSTCOMMIT_INVALID_DELAY`, `POSTCOMMIT_TOO_MANY_MESSAGES`.
   */
  publish<T extends Topic<Schemas>>(topic: T, payload: Payload<Schemas, T>, options?: MessageOptions): this
  /**
   * Calls a destination of the relay's configuration until it confirms.
   *
   * @param destination - its configured name; services never name a URL
   * @param path - absolute path below the destination's URL
   * @throws `POSTCOMMIT_INVALID_DESTINATION`, `POSTCOMMIT_INVALID_PATH` and those of {@link MessageDraft.publish}.
   */
  call(destination: string, path: string, payload: unknown, options?: MessageOptions): this
  /**
   * Invalidates a cached value that this transaction changes: in the caches at hand as soon as it is committed, and in
   * all of them through a message of the same commit, whatever dies in between.
   *
   * The message is published below `postcommit.cache`; a stream must take `postcommit.cache.>`, and
   * `applyInvalidations` of `postcommit/cache` receives it.
   *
   * @param values - what `cache.define` gave, or `valuesNamed` for values that another service caches
   * @throws `POSTCOMMIT_INVALID_CACHE_KEY`, `POSTCOMMIT_TOO_MANY_MESSAGES`.
   */
  invalidate<Id>(values: Invalidatable<Id>, id: Id): this
}

/** The limits a draft holds its messages to. */
export interface MessageLimits {
  readonly payloadBytesMax: number
}

/**
 * A draft and the way to close it: `collect` waits for asynchronous schemas and resolves to what was collected; any
 * message added afterwards would be lost, so adding one throws.
 */
export function draftMessages<Schemas extends MessageSchemas>(
  schemas: Schemas | undefined,
  limits: MessageLimits,
): {
  draft: MessageDraft<Schemas>
  collect(): Promise<readonly CollectedMessage[]>
  readonly invalidations: readonly CollectedInvalidation[]
} {
  const pending: (CollectedMessage | Promise<CollectedMessage>)[] = []
  const invalidations: CollectedInvalidation[] = []
  let closed = false

  function add(message: (branch: number) => CollectedMessage | Promise<CollectedMessage>): void {
    if (closed) throw new PostcommitError('POSTCOMMIT_MESSAGE_CLOSED')
    if (pending.length === LIMITS.messagesPerTransaction) {
      throw new PostcommitError('POSTCOMMIT_TOO_MANY_MESSAGES', {
        count: pending.length + 1,
        limit: LIMITS.messagesPerTransaction,
      })
    }
    pending.push(message(pending.length + 1))
  }

  const draft: MessageDraft<Schemas> = {
    publish(topic, payload, options = {}) {
      const target = parseSubject(topic)
      const routing = parseRouting(options)
      add((branch) => {
        const place = (value: unknown): CollectedMessage => {
          const content = encodePayload(value, target, limits.payloadBytesMax)
          const common = { branch, target, content, key: routing.key, headers: routing.headers }
          if (routing.due === undefined) return { kind: 'publish', ...common }
          return { kind: 'delivery', destination: NATS_DESTINATION, due: routing.due, ...common }
        }
        return withSchema(schemas, target, payload, place)
      })
      return this
    },
    call(destination, path, payload, options = {}) {
      const name = parseDestination(destination)
      const target = parsePath(path)
      const { key, headers, due = { delayMs: 0 } } = parseRouting(options)
      add((branch) => {
        const content = encodePayload(payload, name, limits.payloadBytesMax)
        return { kind: 'delivery', destination: name, due, branch, target, content, key, headers }
      })
      return this
    },
    invalidate(values, id) {
      const valueKey = values.keyOf(id)
      add((branch) => {
        invalidations.push({ branch, values, key: valueKey })
        return invalidationMessage(branch, values.name, valueKey, id)
      })
      return this
    },
  }

  return {
    draft,
    invalidations,
    async collect() {
      closed = true
      return await Promise.all(pending.map((message) => Promise.resolve(message)))
    },
  }
}

function invalidationMessage(branch: number, name: string, valueKey: string, id: unknown): CollectedMessage {
  const kinds = ['string', 'number', 'boolean']
  // Whoever compares the cache with the database needs what the key was made of, where JSON can carry it.
  const payload: InvalidationPayload = { key: valueKey, ...(kinds.includes(typeof id) && { id }) }
  return {
    kind: 'publish',
    branch,
    target: invalidationTopic(name),
    content: { text: JSON.stringify(payload) },
    key: invalidationKey(name, valueKey),
    headers: undefined,
  }
}

function withSchema(
  schemas: MessageSchemas | undefined,
  topic: string,
  payload: unknown,
  place: (value: unknown) => CollectedMessage,
): CollectedMessage | Promise<CollectedMessage> {
  if (schemas === undefined || payload instanceof Uint8Array) return place(payload)
  const schema = Object.hasOwn(schemas, topic) ? schemas[topic] : undefined
  if (schema === undefined) throw new PostcommitError('POSTCOMMIT_UNKNOWN_MESSAGE', { topic })
  const accept = (result: SchemaResult<unknown>): CollectedMessage => {
    if (result.issues === undefined) return place(result.value)
    const issues = describeIssues(result.issues)
    throw new PostcommitError('POSTCOMMIT_SCHEMA_MISMATCH', { target: topic, issues })
  }
  const result = schema['~standard'].validate(payload)
  if (!(result instanceof Promise)) return accept(result)
  const accepted = result.then(accept)
  // The rejection is reported by collect(); if the work throws first, nobody else would listen to it.
  accepted.catch(() => undefined)
  return accepted
}

interface Routing {
  readonly key: string | undefined
  readonly headers: string | undefined
  readonly due: Delivery['due'] | undefined
}

function parseRouting({ key, headers, deliverAfter }: MessageOptions): Routing {
  if (key !== undefined) parseKey(key)
  const given = headers === undefined ? {} : parseHeaders(headers)
  const due = deliverAfter === undefined ? undefined : parseDelay(deliverAfter)
  // A delayed message has no place in its key's order, but its receiver may still want to know the key.
  const named = due !== undefined && key !== undefined ? { ...given, [ENVELOPE.key]: encodeURIComponent(key) } : given
  return {
    key: due === undefined ? key : undefined,
    headers: Object.keys(named).length === 0 ? undefined : JSON.stringify(named),
    due,
  }
}

function parseDelay(deliverAfter: number | Date): Delivery['due'] {
  const refuse = (reason: string): never => {
    throw new PostcommitError('POSTCOMMIT_INVALID_DELAY', { value: String(deliverAfter), reason })
  }
  if (deliverAfter instanceof Date) {
    const distanceMs = deliverAfter.getTime() - Date.now()
    if (Number.isNaN(distanceMs)) refuse('the Date is invalid')
    if (distanceMs > LIMITS.delayMs) refuse('it is more than a year away')
    return { at: deliverAfter }
  }
  if (typeof deliverAfter !== 'number' || !Number.isFinite(deliverAfter)) refuse('it is not a number')
  if (deliverAfter < 0) refuse('it is negative')
  if (deliverAfter > LIMITS.delayMs) refuse('it is more than a year')
  return { delayMs: deliverAfter }
}
