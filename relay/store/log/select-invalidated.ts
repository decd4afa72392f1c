import type { Queryable } from '../queryable.ts'

/** What was invalidated, as its message says it. */
export interface Invalidated {
  readonly topic: string
  readonly payload: string
}

/**
 * Values that were invalidated within a time and not in the last second, each once, so many of them chosen at random.
 *
 * For a person who checks a cache. Index outbox_created_at (BRIN), which a volatile clock_timestamp() would rule out: reads
 * what was committed in that time; the log has no index on topics, because every commit would pay for it.
 * Plan: HashAggregate <- Bitmap Heap Scan on outbox_p0; of half a million rows 13 ms for a twelfth, 70 ms for all.
 */
export async function selectInvalidated(
  client: Queryable,
  { topics, sinceMs, limit }: { readonly topics: readonly string[]; readonly sinceMs: number; readonly limit: number },
): Promise<readonly Invalidated[]> {
  const { rows } = await client.query<Invalidated>({
    text: `select topic, payload from postcommit.outbox
where created_at between statement_timestamp() - make_interval(secs => $2::float8 / 1000)
    and statement_timestamp() - interval '1 second'
  and topic = any($1) and payload is not null
group by topic, payload
order by random()
limit $3`,
    values: [topics, sinceMs, limit],
  })
  return rows
}
