import type { MessageSchemas } from './commit/message.ts'
import { PostcommitError } from './protocol/errors.ts'
import { LIMITS } from './protocol/limits.ts'
import { Unreadable } from './protocol/read-json.ts'
import { readTarget, type Target } from './protocol/target.ts'
import type { RelayClient } from './relay-client/relay-client.ts'
import type { DatabaseLike } from './store/open-database.ts'
import type { MessageRouteOptions } from './two-phase/announced-route.ts'

/** What {@link createOutbox} takes. */
export interface OutboxOptions<Db extends DatabaseLike, Schemas extends MessageSchemas = MessageSchemas> {
  /**
   * The service's database: a Kysely instance (PostgreSQL dialect) or a pg Pool.
   *
   * Under Kysely, give its pool `pool.on('connect', (client) => client.on('error', log))`: a connection that dies in
   * the middle of a transaction emits an error that pg leaves to its user, and unheard it ends the process. Over a
   * plain Pool this is done for you.
   */
  readonly db: Db
  /** Schemas of the topics this service publishes. With them, other topics are refused and payloads are checked. */
  readonly messages?: Schemas
  /** Largest payload in bytes, default 262144, at most 921600. */
  readonly payloadBytesMax?: number
  /**
   * How the relay learns of a commit: `notify` (default) sends a coalesced NOTIFY over `db` after it; a function is
   * called instead, for services that reach the relay another way; `off` leaves it to the relay's polling.
   */
  readonly wake?: 'notify' | 'off' | (() => Promise<void>)
  /** Least milliseconds between two wake-ups of this process while it commits much, default 10; a fifth while little. */
  readonly wakeGapMs?: number
  /**
   * For a database that the relay cannot read: messages are announced to this relay before COMMIT and released after
   * it, and `wake` has no meaning. Needs `backQuery`.
   */
  readonly relay?: RelayClient
  /**
   * Where the relay asks what became of a commit that was announced and never released: the address under which the
   * service serves `backQueryHandler()`, as a destination of the relay's configuration or as a URL; or the subject on
   * which it has `answerBackQueries()` of `postcommit/nats`, `{ subject: 'orders.back-query' }`.
   */
  readonly backQuery?: Target
  /** How long after the announcement the relay asks for the first time, milliseconds, default 10000. */
  readonly checkAfterMs?: number
  /** How long an announcement is tried before the commit is given up, milliseconds, default 5000. */
  readonly prepareMs?: number
  /**
   * Told of a release that the relay refused, which somebody must look into: the commit stands. The default emits a
   * process warning. A relay that cannot be reached is not reported, it will ask.
   */
  readonly onRefused?: (error: unknown, about: { readonly gid: string }) => void
  /** How long to ask what became of a COMMIT whose answer was lost, milliseconds, default 10000. */
  readonly resolveMs?: number
  /**
   * Whether, over a pg Pool, BEGIN is sent together with the first statement and the messages together with COMMIT;
   * default true. It saves two round trips a commit. `false` sends each statement by itself.
   */
  readonly sendAhead?: boolean
}

/** The numbers of {@link OutboxOptions} with their defaults, checked. */
export interface CompiledOptions {
  readonly payloadBytesMax: number
  readonly wakeGapMs: number
  readonly resolveMs: number
  readonly checkAfterMs: number
  readonly prepareMs: number
}

/** @throws `POSTCOMMIT_INVALID_OPTIONS` naming the option. */
export function compileOptions(options: Omit<OutboxOptions<never>, 'db'>): CompiledOptions {
  return {
    payloadBytesMax: within(
      'payloadBytesMax',
      options.payloadBytesMax,
      1,
      LIMITS.payloadBytesHard,
      LIMITS.payloadBytesDefault,
    ),
    wakeGapMs: within('wakeGapMs', options.wakeGapMs, 0, 60_000, 10),
    resolveMs: within('resolveMs', options.resolveMs, 0, 600_000, 10_000),
    checkAfterMs: within('checkAfterMs', options.checkAfterMs, 1, 86_400_000, 10_000),
    prepareMs: within('prepareMs', options.prepareMs, 1, 600_000, 5000),
  }
}

function within(name: string, value: number | undefined, least: number, most: number, byDefault: number): number {
  if (value === undefined) return byDefault
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw invalidOptions(`${name} is ${value}, not an integer from ${least} to ${most}`)
}

/**
 * Where the relay asks, of options with a relay.
 * @throws `POSTCOMMIT_INVALID_OPTIONS`.
 */
export function parseBackQuery({
  backQuery,
  onRefused,
}: Pick<OutboxOptions<never>, 'backQuery' | 'onRefused'>): Pick<MessageRouteOptions, 'target' | 'onRefused'> {
  if (backQuery === undefined) {
    throw invalidOptions('relay without backQuery: the relay could not ask whether a transaction was committed')
  }
  try {
    const target = readTarget(backQuery, 'backQuery')
    return {
      target,
      onRefused: onRefused ?? ((error) => process.emitWarning(error instanceof Error ? error : String(error))),
    }
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error
    throw invalidOptions(error.message)
  }
}

function invalidOptions(reason: string): PostcommitError<'POSTCOMMIT_INVALID_OPTIONS'> {
  return new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: 'createOutbox', reason })
}
