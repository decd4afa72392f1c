import type { Queryable } from '../queryable.ts'

/**
 * Which of these tables and indexes of the schema postcommit are missing or, an index, invalid: somebody dropped
 * them, or a restore left them out. Catalog only.
 */
export async function selectMissingObjects(client: Queryable, names: readonly string[]): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>({
    text: `select name from unnest($1::text[]) as wanted (name)
left join pg_class c on c.oid = to_regclass('postcommit.' || quote_ident(name))
left join pg_index i on i.indexrelid = c.oid
where c.oid is null or not coalesce(i.indisvalid, true) order by name`,
    values: [names],
  })
  return rows.map(({ name }) => name)
}
