import type { Queryable } from '../queryable.ts'

/** What the connected user lacks of the rights that a relay needs, as `update on position`. Catalog only. */
export async function selectMissingPrivileges(client: Queryable): Promise<readonly string[]> {
  const { rows } = await client.query<{ missing: string }>({
    text: `select lower(privilege) || ' on ' || name as missing
from (values
  ('outbox', 'SELECT'), ('outbox_default', 'DELETE'),
  ('position', 'SELECT'), ('position', 'UPDATE'),
  ('broker_mark', 'SELECT'), ('broker_mark', 'INSERT'), ('broker_mark', 'DELETE'),
  ('delivery', 'SELECT'), ('delivery', 'INSERT'), ('delivery', 'UPDATE'), ('delivery', 'DELETE'),
  ('claim', 'SELECT'), ('claim', 'INSERT'), ('claim', 'DELETE'),
  ('attempt', 'SELECT'), ('attempt', 'INSERT'),
  ('operator_act', 'SELECT'), ('operator_act', 'INSERT'), ('operator_act', 'UPDATE'),
  ('global_transaction', 'SELECT'), ('global_transaction', 'UPDATE'),
  ('trouble', 'SELECT'), ('trouble', 'INSERT'), ('trouble', 'UPDATE'), ('trouble', 'DELETE'),
  ('relay', 'SELECT'), ('relay', 'INSERT'), ('relay', 'UPDATE'), ('relay', 'DELETE'),
  ('installation', 'SELECT'), ('migration', 'SELECT')
) as needed (name, privilege)
where not has_table_privilege('postcommit.' || name, privilege)
union all
select 'update on sequence outbox_id' where not has_sequence_privilege('postcommit.outbox_id', 'UPDATE')
union all
select 'ownership of outbox' where not pg_has_role((select relowner from pg_class where oid = 'postcommit.outbox'::regclass), 'USAGE')`,
  })
  return rows.map(({ missing }) => missing)
}
