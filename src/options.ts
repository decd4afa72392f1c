import type { MessageSchemas } from './message.ts'
import { PostcommitError } from './protocol/errors.ts'
import { LIMITS } from './protocol/limits.ts'
import type { DatabaseLike } from './store/open-database.ts'

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
  /** How long to ask what became of a COMMIT whose answer was lost, milliseconds, default 10000. */
  readonly resolveMs?: number
}

/** The numbers of {@link OutboxOptions} with their defaults, checked. */
export interface CompiledOptions {
  readonly payloadBytesMax: number
  readonly wakeGapMs: number
  readonly resolveMs: number
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
  }
}

function within(name: string, value: number | undefined, least: number, most: number, byDefault: number): number {
  if (value === undefined) return byDefault
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', {
    function: 'createOutbox',
    reason: `${name} is ${value}, not an integer from ${least} to ${most}`,
  })
}
