import { type NotedAct, noteAct, noteActValues } from '../operator/note-operator-act.ts'
import type { Queryable } from '../queryable.ts'

/**
 * Puts dead letters back: due now, attempts from zero, under the id they had, which is their place in the order of
 * their key. The act is recorded with its actor, in the story of each message and as one act. Primary key; resolves to the
 * ids that were dead.
 */
export async function requeueDeadLetters(
  client: Queryable,
  ids: readonly string[],
  act: NotedAct,
): Promise<readonly string[]> {
  const { rows } = await client.query<{ id: string }>({
    text: `with done as (
  update postcommit.delivery set state = 'pending', due_at = clock_timestamp(), attempts = 0
  where id = any($1::bigint[]) and state = 'dead' returning id
), told as (
  insert into postcommit.attempt (delivery_id, event, attempt, detail, actor)
  select id, 'requeued', 0, $4, $3 from done
), noted as (
  ${noteAct('requeue', 2)}
)
select id from done`,
    values: [ids, ...noteActValues(act)],
  })
  return rows.map(({ id }) => id)
}
