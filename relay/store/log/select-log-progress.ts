import type { Queryable } from '../queryable.ts'

/** How far the log has been written, and up to where all of it has been handed on. */
export interface LogProgress {
  readonly sequence: bigint
  /** Every row with an id at or below has been handed on, and no open transaction can still bring one. */
  readonly low: bigint
}

/** One row from the sequence, a few from the positions. */
export async function selectLogProgress(client: Queryable): Promise<LogProgress> {
  const { rows } = await client.query<{ sequence: string; low: string }>({
    text: `select (select last_value from postcommit.outbox_id) as sequence, min(low) as low from postcommit.position`,
  })
  return { sequence: BigInt(rows[0]?.sequence ?? 0), low: BigInt(rows[0]?.low ?? 0) }
}
