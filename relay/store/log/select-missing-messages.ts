import type { HandedOn } from '../../engine/whereabouts.ts'
import type { Queryable } from '../queryable.ts'

/** Which of these messages are not in the log, although retention cannot have taken them yet. Primary key. */
export async function selectMissingMessages(
  client: Queryable,
  messages: readonly HandedOn[],
  retentionMs: number,
): Promise<readonly HandedOn[]> {
  const { rows } = await client.query<{ at: number }>({
    text: `select m.at::int from unnest($1::bigint[], $2::text[], $3::float8[]) with ordinality as m (id, gid, created, at)
where m.created > extract(epoch from clock_timestamp()) * 1000 - $4 / 2
  and not exists (select from postcommit.outbox log where log.id = m.id and log.gid = m.gid)
order by m.at`,
    values: [
      messages.map(({ id }) => id),
      messages.map(({ gid }) => gid),
      messages.map(({ createdMs }) => createdMs),
      retentionMs,
    ],
  })
  return rows.flatMap(({ at }) => messages[at - 1] ?? [])
}
