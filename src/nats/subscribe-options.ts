import { randomBytes } from 'node:crypto'
import type { PayloadOptions } from '../http/read-payload.ts'
import type { Inbox } from '../inbox/inbox.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { subjectProblem } from '../protocol/subject.ts'
import type { BackOff } from './back-off.ts'
import type { WantedConsumer } from './ensure-consumer.ts'
import type { NatsConnectionLike } from './nats-connection.ts'
import type { SubscribedDelivery } from './read-delivery.ts'

/** What {@link subscribe} takes with or without an inbox. */
export interface CommonSubscribeOptions<Payload> extends PayloadOptions<Payload> {
  /** A connection of `@nats-io/transport-node` or of `nats` 2.x. It stays the caller's to close. */
  readonly connection: NatsConnectionLike
  /** The stream to read. */
  readonly stream: string
  /** The name of the durable consumer; it remembers what has been handled. Made if it is not there. */
  readonly durable: string
  /** Only these subjects of the stream, wildcards allowed; several need nats-server 2.10. */
  readonly subjects?: string | readonly string[]
  /** Where a new durable starts: `all` (default) that the stream holds, or only what comes from now on. */
  readonly startAt?: 'all' | 'new'
  /** How many deliveries are handled at once, default 10. One key is never handled twice at once. */
  readonly concurrency?: number
  /** Failed attempts after which a message becomes a dead letter; default Infinity. Needs `deadLetter`. */
  readonly attemptsMax?: number
  /** Pauses between attempts: full jitter up to `min(capMs, baseMs * 2 ** n)`; default 1000 and 300000. */
  readonly backOff?: Partial<BackOff>
  /**
   * Where messages go that cannot be handled: after `attemptsMax` failures, and at once if they cannot be read, do not
   * fit the schema, or are refused with `DeliveryRefused`. A stream must take messages for that subject. A dead letter
   * releases its key. Without it such a message is tried again for ever, at the longest pause.
   */
  readonly deadLetter?: { readonly subject: string }
  /**
   * How long the server waits for a sign of life before it delivers a message again, milliseconds: also how long a
   * killed subscriber's messages, and those with a key behind them, wait. Default 15000, or what the durable has.
   */
  readonly ackWaitMs?: number
  /**
   * How many messages may be delivered and not settled, waiting ones included; when that many wait behind failing
   * keys, the whole subscription waits. Default 4096, or what the durable has. With 1, order holds across any number
   * of processes.
   */
  readonly ackPendingMax?: number
  /**
   * How much content of messages that wait, for a retry or behind one, is kept in memory, bytes, default 33554432.
   * What is beyond that is delivered once more when it is its turn.
   */
  readonly waitingBytesMax?: number
  /** Prefix of the inboxes that the connection may subscribe to; default that of the connection, or `_INBOX`. */
  readonly inboxPrefix?: string
  /** Told of everything that goes wrong and is tried again. The default emits a process warning. */
  readonly onError?: (error: unknown, about: SubscriptionTrouble) => void
}

/** What an error of a subscription is about. */
export interface SubscriptionTrouble {
  /** `handle`: an attempt failed. `dead-letter`: one was written, or could not be. `consumer`: nothing is received. */
  readonly what: 'handle' | 'dead-letter' | 'consumer'
  /** The message, where it is about one. */
  readonly id?: string
  /** The attempt that failed, from 1. */
  readonly attempt?: number
  /** When it is tried again, milliseconds; absent if it is not. */
  readonly retryInMs?: number
}

/** What {@link subscribe} takes. */
export interface SubscribeOptions<Payload> extends CommonSubscribeOptions<Payload> {
  readonly inbox?: undefined
  /**
   * Handles one delivery. When it returns, the message is acknowledged. When it throws, the message is delivered again
   * after a pause.
   */
  readonly handle: (delivery: SubscribedDelivery<Payload>) => unknown
}

/** What {@link subscribe} takes to run through an inbox. */
export interface InboxSubscribeOptions<Payload, Tx> extends CommonSubscribeOptions<Payload> {
  /** Makes `handle` run once per message, in the transaction that it is given. */
  readonly inbox: Inbox<Tx>
  /**
   * Handles one delivery through `tx`. When it returns, `tx` is committed and then the message is acknowledged. When it
   * throws, `tx` is rolled back and the message is delivered again after a pause.
   */
  readonly handle: (delivery: SubscribedDelivery<Payload>, tx: Tx) => unknown
}

/** The options with their defaults, checked. */
export interface CompiledOptions {
  readonly consumer: WantedConsumer
  readonly concurrency: number
  readonly attemptsMax: number
  readonly backOff: BackOff
  readonly deadLetterSubject: string | undefined
  readonly waitingBytesMax: number
  /** A subject that is this subscription's alone. */
  readonly inboxSubject: string
}

type Settings = Omit<CommonSubscribeOptions<unknown>, keyof PayloadOptions<unknown>>

const NAME = /^[A-Za-z0-9_-]{1,128}$/
const HOUR_MS = 3_600_000

/** @throws `POSTCOMMIT_INVALID_OPTIONS` naming the option, `POSTCOMMIT_UNSUPPORTED_SERVER` for several subjects. */
export function compileOptions(options: Settings): CompiledOptions {
  const subjects = typeof options.subjects === 'string' ? [options.subjects] : (options.subjects ?? [])
  const deadLetterSubject = options.deadLetter?.subject
  checkNames(options, subjects)
  checkDeadLetter(deadLetterSubject, subjects, options.attemptsMax)
  if (subjects.length > 1) checkServer(options.connection.info?.version ?? '0')
  return {
    consumer: {
      stream: options.stream,
      durable: options.durable,
      subjects,
      startAt: options.startAt ?? 'all',
      ackWaitMs: maybe(options.ackWaitMs, (ms) => integer('ackWaitMs', ms, 500, HOUR_MS)),
      ackPendingMax: maybe(options.ackPendingMax, (count) => integer('ackPendingMax', count, 1, 1_000_000)),
    },
    concurrency: integer('concurrency', options.concurrency ?? 10, 1, 1000),
    attemptsMax: attemptsMaxOf(options.attemptsMax),
    backOff: {
      baseMs: integer('backOff.baseMs', options.backOff?.baseMs ?? 1000, 1, HOUR_MS),
      capMs: integer('backOff.capMs', options.backOff?.capMs ?? 300_000, 1, 24 * HOUR_MS),
    },
    deadLetterSubject,
    waitingBytesMax: integer('waitingBytesMax', options.waitingBytesMax ?? 32 * 1024 * 1024, 0, 2 ** 40),
    inboxSubject: `${inboxPrefix(options)}.${randomBytes(12).toString('hex')}`,
  }
}

function checkNames({ stream, durable }: Settings, subjects: readonly string[]): void {
  // Both become part of the subjects we publish to, where a space or a line break would be a command of its own.
  if (!NAME.test(stream)) throw invalidOptions('stream is not 1 to 128 of A-Z a-z 0-9 _ -')
  if (!NAME.test(durable)) throw invalidOptions('durable is not 1 to 128 of A-Z a-z 0-9 _ -')
  for (const subject of subjects) {
    const plain =
      typeof subject === 'string' ? subject.replace(/\.>$/, '.any').replace(/(^|\.)\*(?=\.|$)/g, '$1any') : subject
    const problem = plain === '>' ? undefined : subjectProblem(plain)
    if (problem !== undefined) throw invalidOptions(`subject ${JSON.stringify(subject)}: ${problem}`)
  }
}

function checkDeadLetter(
  subject: string | undefined,
  subjects: readonly string[],
  attemptsMax: number | undefined,
): void {
  if (subject === undefined) {
    if (attemptsMax === undefined || attemptsMax === Infinity) return
    throw invalidOptions('attemptsMax needs a deadLetter subject: a message is never given up without one')
  }
  const problem = subjectProblem(subject)
  if (problem !== undefined) throw invalidOptions(`deadLetter.subject: ${problem}`)
  if (subjects.some((filter) => matches(filter, subject))) {
    throw invalidOptions(`deadLetter.subject ${subject} is one that the subscription itself receives`)
  }
}

/** Whether a subject with wildcards covers one without. */
export function matches(filter: string, subject: string): boolean {
  const wanted = filter.split('.')
  const tokens = subject.split('.')
  const covers = (token: string, at: number) =>
    token === '>' || (tokens[at] !== undefined && (token === '*' || token === tokens[at]))
  const isOpen = wanted.at(-1) === '>'
  return wanted.every(covers) && (isOpen ? tokens.length >= wanted.length : tokens.length === wanted.length)
}

function checkServer(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > 2 || (major === 2 && minor >= 10)) return
  throw new PostcommitError('POSTCOMMIT_UNSUPPORTED_SERVER', {
    server: 'nats-server (for several subjects on one consumer)',
    version,
    minimum: '2.10.0',
  })
}

/** The clients keep the prefix they were opened with in their options, which their types do not tell. */
function inboxPrefix({ connection, inboxPrefix: given }: Settings): string {
  const options: unknown = 'options' in connection ? connection.options : undefined
  const own =
    typeof options === 'object' && options !== null && 'inboxPrefix' in options ? options.inboxPrefix : undefined
  const prefix = given ?? (typeof own === 'string' && own !== '' ? own : '_INBOX')
  if (!/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(prefix)) throw invalidOptions('inboxPrefix is not a plain subject')
  return prefix
}

function integer(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw invalidOptions(`${name} is ${value}, not an integer from ${least} to ${most}`)
}

function attemptsMaxOf(value = Infinity): number {
  return value === Infinity ? value : integer('attemptsMax', value, 1, 1_000_000)
}

function maybe<T>(value: T | undefined, check: (value: T) => T): T | undefined {
  return value === undefined ? undefined : check(value)
}

function invalidOptions(reason: string): PostcommitError<'POSTCOMMIT_INVALID_OPTIONS'> {
  return new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: 'subscribe', reason })
}
