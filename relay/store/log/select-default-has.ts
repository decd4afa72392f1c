import type { Queryable } from '../queryable.ts'

/**
 * Whether the default partition holds an id of a range, by its primary key: asked before a partition is made for it,
 * which would find that out under a lock against all writers.
 */
export async function selectDefaultHas(client: Queryable, start: bigint, end: bigint): Promise<boolean> {
  const { rows } = await client.query<{ found: boolean }>({
    text: `select exists (select from postcommit.outbox_default where id >= $1 and id < $2) as found`,
    values: [String(start), String(end)],
  })
  return rows[0]?.found === true
}
