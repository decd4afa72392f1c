import type { Queryable } from '../queryable.ts'
import { DATABASE_OID, PLACE, TIMELINE } from '../server/select-server-facts.ts'

/** Remembers which database this is, and its timeline: what the next relay compares with. One row. */
export async function noteWhereabouts(client: Queryable): Promise<void> {
  await client.query({
    text: `update postcommit.installation set database_oid = ${DATABASE_OID}, timeline = ${TIMELINE}
where database_oid is null or timeline is distinct from ${TIMELINE}`,
  })
}

/**
 * Remembers why committed transactions may be missing, besides what is remembered already. One row. Resolves to whether it
 * is new.
 */
export async function noteDoubt(client: Queryable, doubt: string): Promise<boolean> {
  const { rowCount } = await client.query({
    text: `update postcommit.installation set doubt = concat_ws('; ', doubt, $1::text), doubted_at = coalesce(doubted_at, clock_timestamp())
where strpos(coalesce(doubt, ''), $1) = 0`,
    values: [doubt],
  })
  return rowCount === 1
}

/** Forgets the doubt: an operator knows what is missing. Resolves to what it was. */
export async function clearDoubt(client: Queryable): Promise<string | undefined> {
  const { rows } = await client.query<{ doubt: string }>({
    text: `with before as (select doubt from postcommit.installation where doubt is not null for update)
update postcommit.installation set doubt = null, doubted_at = null from before returning before.doubt`,
  })
  return rows[0]?.doubt
}

/** Remembers where the database is, because a broker has just shown what it acknowledged to it. Writes only what is new. */
export async function confirmPlace(client: Queryable): Promise<void> {
  await client.query({
    text: `update postcommit.installation set place = ${PLACE} where place is distinct from ${PLACE}`,
  })
}

/** Where the database was before, if it is elsewhere now. */
export async function selectFormerPlace(client: Queryable): Promise<string | undefined> {
  const { rows } = await client.query<{ place: string }>({
    text: `select place from postcommit.installation where place <> ${PLACE}`,
  })
  return rows[0]?.place
}
