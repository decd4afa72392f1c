import type { Queryable } from './queryable.ts'
import type { Act } from './requeue-dead-letters.ts'

/**
 * Gives dead letters up, with a reason that is kept. Their keys go on with the next message. Primary key, and
 * delivery_head for the successors; resolves to the ids that were dead.
 */
export async function discardDeadLetters(
  client: Queryable,
  ids: readonly string[],
  { actor, reason }: Act,
): Promise<readonly string[]> {
  const { rows } = await client.query<{ id: string }>({
    text: `with discarded as (
  update postcommit.delivery set state = 'discarded', settled_at = clock_timestamp()
  where id = any($1::bigint[]) and state = 'dead' returning id, destination, key, attempts
), told as (
  insert into postcommit.attempt (delivery_id, event, attempt, detail, actor)
  select id, 'discarded', attempts, $3, $2 from discarded
), released as (
  update postcommit.delivery set state = 'pending', due_at = clock_timestamp()
  where state = 'held' and id in (
    select (
      select next.id from postcommit.delivery next
      where next.destination = d.destination and next.key = d.key and next.state in ('pending', 'held', 'dead')
        and next.id <> all($1::bigint[])
      order by next.id limit 1
    ) from discarded d where d.key is not null
  )
)
select id from discarded`,
    values: [ids, actor, reason],
  })
  return rows.map(({ id }) => id)
}
