import type { Queryable } from '../queryable.ts'

/** A partition of the log. */
export interface Partition {
  readonly name: string
  /** Its ids are below this. */
  readonly end: bigint
}

/** The range partitions of the log, oldest first; catalog only. */
export async function selectPartitions(client: Queryable): Promise<readonly Partition[]> {
  const { rows } = await client.query<{ name: string; end: string }>({
    text: `select child.relname as name, substring(pg_get_expr(child.relpartbound, child.oid) from $$TO \\('?(\\d+)'?\\)$$) as "end"
from pg_inherits join pg_class child on child.oid = inhrelid
where inhparent = 'postcommit.outbox'::regclass and pg_get_expr(child.relpartbound, child.oid) <> 'DEFAULT'`,
  })
  return rows.map(({ name, end }) => ({ name, end: BigInt(end) })).sort((a, b) => (a.end < b.end ? -1 : 1))
}
