import type { Queryable } from '../queryable.ts'

/** What an operator did to dead letters. */
export interface OperatorActRow {
  readonly id: string
  readonly at: Date
  readonly act: 'requeue' | 'discard'
  readonly actor: string
  readonly reason: string
  readonly selection: object
  /** How many messages were changed. */
  readonly messages: number
}

/** Acts, newest first, a page at a time by id. Primary key, backwards. */
export async function selectOperatorActs(
  client: Queryable,
  before: string | undefined,
  limit: number,
): Promise<readonly OperatorActRow[]> {
  const { rows } = await client.query<OperatorActRow>({
    text: `select id, at, act, actor, reason, selection, messages::float8 as messages
from postcommit.operator_act where $1::bigint is null or id < $1 order by id desc limit $2`,
    values: [before ?? null, limit],
  })
  return rows
}
