import { PostcommitError } from '../protocol/errors.ts'
import { messageId } from '../protocol/gid.ts'
import type { Run } from '../store/database.ts'
import { sqlState } from '../store/database-error.ts'
import type { Receipt } from './receipt.ts'
import { selectOldestReceipt } from './select-oldest-receipt.ts'

/** How long the transactions of an inbox wait, and how long others wait for them. */
export interface InboxLimits {
  /**
   * How long a delivery waits for another one of the same message that is being handled, milliseconds, default 2000.
   * Then it is rejected with `POSTCOMMIT_INBOX_IN_PROGRESS`, and comes again.
   */
  readonly waitMs?: number
  /**
   * How long the transaction may be idle between two statements, milliseconds; 0: as long as the session says. Default
   * 60000 over pg. Over Kysely 0, because a pg client that dies while it is handed out ends the process unless it is
   * listened to: give it together with `pool.on('connect', (client) => client.on('error', log))`. PostgreSQL then ends the session: a consumer that was stopped or cut off would otherwise keep the receipt, and
   * the message, for as long as its socket lives. A shorter `idle_in_transaction_session_timeout` of the session holds.
   */
  readonly idleMs?: number
}

const LIMIT_MS_MAX = 86_400_000

/** @returns the limits, or what is wrong with them */
export function readLimits(
  { waitMs = 2000, idleMs: given }: InboxLimits,
  idleMsByDefault: number,
): Required<InboxLimits> | string {
  const idleMs = given ?? idleMsByDefault
  if (!Number.isSafeInteger(waitMs) || waitMs < 1 || waitMs > LIMIT_MS_MAX) {
    return `waitMs is ${waitMs}, not an integer from 1 to ${LIMIT_MS_MAX}`
  }
  if (!Number.isSafeInteger(idleMs) || idleMs < 0 || idleMs > LIMIT_MS_MAX) {
    return `idleMs is ${idleMs}, not an integer from 0 to ${LIMIT_MS_MAX}`
  }
  return { waitMs, idleMs }
}

const LOCK_NOT_AVAILABLE = '55P03'

/** What a receipt failed with: that another delivery of the message is being handled, and where, or the error as it is. */
export async function receiptFailure({ gid, branch }: Receipt, cause: unknown, run: Run): Promise<unknown> {
  if (sqlState(cause) !== LOCK_NOT_AVAILABLE) return cause
  const [row] = await run(selectOldestReceipt()).catch(() => [])
  const holder = describeHolder(row)
  return new PostcommitError('POSTCOMMIT_INBOX_IN_PROGRESS', { id: messageId(gid, branch), holder }, { gid, cause })
}

function describeHolder(row: Readonly<Record<string, unknown>> | undefined): string {
  if (row === undefined) return 'no transaction with a receipt is open any more'
  const state = `${row['state'] ?? 'state unknown'} since ${row['since'] ?? 'a time that is not known'}`
  return `the longest open transaction with a receipt is of process ${row['pid']} (${row['application']}), ${state}`
}
