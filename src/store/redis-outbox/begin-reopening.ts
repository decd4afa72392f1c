import type { Statement } from '../database.ts'

/**
 * Gives a sale another epoch and keeps it standing still: from its commit on no entry of an earlier epoch is applied any
 * more, so that what was sold is a number that one can go on from. Waits for a batch that is being written, which holds
 * the row. Primary key.
 */
export function beginReopening(name: string, epoch: string): Statement {
  return {
    text: `update postcommit.redis_outbox set epoch = $2, stopped_at = coalesce(stopped_at, clock_timestamp()),
  stopped_reason = coalesce(stopped_reason, 'it is being opened anew')
where name = $1`,
    values: [name, epoch],
  }
}
