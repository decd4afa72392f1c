import { type NotedAct, noteAct, noteActValues } from '../operator/note-operator-act.ts'
import type { Queryable } from '../queryable.ts'
import { releaseSuccessors } from './release-successors.ts'

/**
 * Gives dead letters up, with a reason that is kept in the story of each and as one act. Their keys go on with the next message. Resolves to the ids that
 * were dead; others are left as they are.
 *
 * The successors are released by a second statement, which sees those that came during the first; should the process die
 * between the two, `releaseHeld` finds them. Plan: primary key; delivery_head for the successors.
 */
export async function discardDeadLetters(
  client: Queryable,
  ids: readonly string[],
  act: NotedAct,
): Promise<readonly string[]> {
  const { rows } = await client.query<{ id: string; destination: string; key: string | null }>({
    text: `with done as (
  update postcommit.delivery set state = 'discarded', settled_at = clock_timestamp()
  where id = any($1::bigint[]) and state = 'dead' returning id, destination, key, attempts
), told as (
  insert into postcommit.attempt (delivery_id, event, attempt, detail, actor)
  select id, 'discarded', attempts, $4, $3 from done
), noted as (
  ${noteAct('discard', 2)}
)
select id, destination, key from done`,
    values: [ids, ...noteActValues(act)],
  })
  const keys = rows.flatMap(({ destination, key }) => (key === null ? [] : [{ destination, key }]))
  if (keys.length > 0) await releaseSuccessors(client, keys)
  return rows.map(({ id }) => id)
}
