import { PostcommitError } from '../protocol/errors.ts'
import { invalidationTopic } from '../protocol/invalidation.ts'

/** What {@link watchTable} watches. */
export interface WatchTableOptions {
  /** The table, with its schema if it is not on the search path: `shop.products`. */
  readonly table: string
  /** The name of the definition whose values are made of its rows. */
  readonly name: string
  /** The columns that the key is made of, default `id`; several are joined by `:`, and the definition must do so too. */
  readonly columns?: readonly string[]
}

const IDENTIFIER = /^[a-z_][a-z0-9_]{0,50}$/

/**
 * The SQL, for a migration of the service, of a trigger that writes an invalidation for every row that is inserted,
 * updated or deleted in a table: by this service, by another one, or by hand. It can be run again.
 *
 * The text of a column must be what `key` makes of it: integers, texts and uuids are. `TRUNCATE` is not seen. Rows
 * that the service changes itself and invalidates with `message.invalidate` are invalidated twice, which costs a load.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`.
 * @example
 * ```ts
 * await db.query(watchTable({ table: 'products', name: 'product' }))
 * ```
 */
export function watchTable({ table, name, columns = ['id'] }: WatchTableOptions): string {
  const parts = table.split('.')
  if (parts.length > 2 || !parts.every((part) => IDENTIFIER.test(part))) {
    throw invalidOptions('table is not one or two names of a-z 0-9 _ joined by a dot')
  }
  if (columns.length === 0 || !columns.every((column) => IDENTIFIER.test(column))) {
    throw invalidOptions('columns are not names of a-z 0-9 _')
  }
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name)) throw invalidOptions('name is not 1 to 64 of A-Z a-z 0-9 _ -')
  const target = parts.map((part) => `"${part}"`).join('.')
  const trigger = `"postcommit_cache_${parts.at(-1) ?? ''}"`
  const key = (row: string) => columns.map((column) => `${row}."${column}"::text`).join(` || ':' || `)
  const [only] = columns
  const id = (row: string) => (columns.length === 1 ? `, 'id', ${row}."${only}"` : '')
  const publish = (
    row: string,
  ) => `    perform postcommit.publish(gid, ${row === 'old' ? 1 : 2}, '${invalidationTopic(name)}', null,
      json_build_object('key', ${key(row)}${id(row)})::text, null, null);`
  return `-- Made by watchTable() of postcommit/cache.
-- Without an ordering key, and so without its lock: rows are changed in any order, and two transactions that change
-- the same keys in different orders would wait for each other. Invalidations of a key may come in any order.
create or replace function ${[...parts.slice(0, -1).map((part) => `"${part}"`), trigger].join('.')}() returns trigger language plpgsql as $$
declare
  -- A UUID of version 7, like those of the outbox, by which a message is found.
  gid text := overlay(overlay(gen_random_uuid()::text placing
    substr(lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0'), 1, 8) || '-' ||
    substr(lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0'), 9, 4) from 1 for 13)
    placing '7' from 15 for 1);
begin
  if tg_op <> 'INSERT' then
${publish('old')}
  end if;
  if tg_op = 'INSERT' or tg_op = 'UPDATE' and (${key('new')}) is distinct from (${key('old')}) then
${publish('new')}
  end if;
  return null;
end $$;
create or replace trigger ${trigger} after insert or update or delete on ${target}
  for each row execute function ${[...parts.slice(0, -1).map((part) => `"${part}"`), trigger].join('.')}();
`
}

function invalidOptions(reason: string): PostcommitError<'POSTCOMMIT_INVALID_OPTIONS'> {
  return new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: 'watchTable', reason })
}
