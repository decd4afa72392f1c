import type { Queryable } from '../queryable.ts'

/** A message by its place in the database and by its name. */
export interface NamedDeadLetter {
  readonly id: string
  readonly gid: string
  readonly branch: number
}

/** Which of the dead letters that were named one by one. */
export interface NamedDeadLetters {
  /** Gids, each with the number of one message or null for all of them. */
  readonly gids: readonly { readonly gid: string; readonly branch: number | null }[]
  readonly ids: readonly string[]
  readonly destination?: string | undefined
  readonly afterId?: string | undefined
  readonly limit: number
}

/**
 * Dead letters that were named, by id, a page at a time. For each gid one probe of delivery_gid, for the ids the primary
 * key, or delivery_dead where there are fewer dead letters than names.
 */
export async function selectNamedDeadLetters(
  client: Queryable,
  { gids, ids, destination, afterId, limit }: NamedDeadLetters,
): Promise<readonly NamedDeadLetter[]> {
  const { rows } = await client.query<NamedDeadLetter>({
    text: `select d.id, d.gid, d.branch from (
  select of_gid.id from unnest($1::text[], $2::int[]) as named (gid, branch)
  join postcommit.delivery of_gid on of_gid.gid = named.gid and of_gid.state = 'dead'
    and (named.branch is null or of_gid.branch = named.branch)
  union
  select unnest($3::bigint[])
) chosen join postcommit.delivery d on d.id = chosen.id and d.state = 'dead'
where d.id > $4 and ($5::text is null or d.destination = $5)
order by d.id limit $6`,
    values: [
      gids.map(({ gid }) => gid),
      gids.map(({ branch }) => branch),
      ids,
      afterId ?? '0',
      destination ?? null,
      limit,
    ],
  })
  return rows
}
