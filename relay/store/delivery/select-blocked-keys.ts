import type { Queryable } from '../queryable.ts'

/**
 * The keys of a shard that have a message set aside: what comes after it must be set aside too, or it would overtake.
 * Index delivery_head, condition included.
 */
export async function selectBlockedKeys(client: Queryable, slotFirst: number, slotLast: number): Promise<Set<string>> {
  const { rows } = await client.query<{ key: string }>({
    name: 'postcommit_select_blocked_keys',
    text: `select distinct key from postcommit.delivery
where destination = 'nats' and key is not null and state in ('pending', 'held', 'dead') and slot between $1 and $2`,
    values: [slotFirst, slotLast],
  })
  return new Set(rows.map(({ key }) => key))
}
