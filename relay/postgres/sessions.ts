import pg from 'pg'
import { within } from 'postcommit/protocol'
import { relaySessionName } from '../store/member/end-relay-sessions.ts'

/** How to reach a source database: what `pg` takes. */
export type SessionConfig = Omit<pg.ClientConfig, 'application_name'>

/** A connection of a relay, named after it; ends are reported to `onLost`, never thrown. */
export async function openSession(
  config: SessionConfig,
  relay: string | undefined,
  options: string,
  onLost: (error: Error) => void,
): Promise<pg.Client> {
  const client = new pg.Client({
    keepAlive: true,
    connectionTimeoutMillis: 5000,
    ...config,
    options: [config.options, options].filter(Boolean).join(' '),
    application_name: relay === undefined ? 'postcommit relay' : relaySessionName(relay),
  })
  client.on('error', onLost)
  client.on('end', () => onLost(new Error('the connection ended')))
  try {
    await client.connect()
  } catch (error) {
    client.end().catch(() => undefined)
    throw error
  }
  return client
}

/**
 * How long a statement of a relay waits for a lock. A session that changes a table by hand, or waits to, would otherwise
 * stop a relay for as long as it lasts, without a word; so the statement fails, says so and is tried again.
 */
const LOCK_TIMEOUT_MS = 5000

function sessionOptions(...settings: readonly string[]): string {
  return [`lock_timeout=${LOCK_TIMEOUT_MS}`, 'jit=off', ...settings].map((setting) => `-c ${setting}`).join(' ')
}

/**
 * What the reader's session needs; see `selectWindow`, `selectPage` and `savePosition` for why. Compiling a plan (JIT)
 * costs more than it.
 */
export const READER_OPTIONS = sessionOptions(
  'plan_cache_mode=force_generic_plan',
  'max_parallel_workers_per_gather=0',
  'enable_seqscan=off',
  'enable_bitmapscan=off',
  'enable_sort=off',
  'synchronous_commit=off',
  'idle_in_transaction_session_timeout=60000',
)

/**
 * What the dispatcher's sessions need.
 *
 * Its statements touch a few rows by index, whatever the size of the table, and run hundreds of times a second: planning
 * one anew takes as long as running it, a plan made while the table was small reads all of it later, and compiling one
 * (JIT) takes 30 ms. With these settings 27,000 claims and results a second were measured, with the defaults 6,000.
 *
 * A process that is stopped in the middle of a transaction must not keep its rows from those who take over: the limit is
 * shorter than any lease. And what has been confirmed stays so, whatever the default of the database.
 */
export const DISPATCHER_OPTIONS = sessionOptions(
  'plan_cache_mode=force_generic_plan',
  'enable_seqscan=off',
  'enable_hashjoin=off',
  'enable_mergejoin=off',
  'idle_in_transaction_session_timeout=1500',
  'synchronous_commit=on',
)

/**
 * What the session needs that applies entries of an outbox in Redis. A user's function writes in it too, whose plans are
 * his own; what it has written must be on disk before the entries are deleted from Redis.
 */
export const REDIS_OUTBOX_OPTIONS = sessionOptions('idle_in_transaction_session_timeout=10000', 'synchronous_commit=on')

/** What the session needs that proves a relay alive. */
export const MEMBER_OPTIONS = sessionOptions()

const CLOSE_MS = 1000

/** Ends a connection, and gives up waiting if the other side is not there to see it. */
export async function closeSession(client: pg.Client): Promise<void> {
  await within(CLOSE_MS, client.end(), () => undefined).catch(() => undefined)
}
