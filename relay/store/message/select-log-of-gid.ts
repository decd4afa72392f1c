import { HANDED_ON } from '../log/handed-on.ts'
import type { Queryable } from '../queryable.ts'

/** A row of the log with where it stands. */
export interface InspectedLogRow {
  readonly id: string
  readonly branch: number
  readonly topic: string
  readonly key: string | null
  readonly payload: string | null
  readonly bodyBytes: number | null
  readonly headers: string | null
  readonly createdAt: Date
  readonly ageMs: number
  readonly handedOn: boolean
  /** The name of the relay that owns its part of the log. */
  readonly owner: string | null
}

/** Unix milliseconds within which a row was inserted, both inclusive. */
export interface InsertedWithin {
  readonly fromMs: number
  readonly toMs: number
}

/**
 * The rows of a gid in the log. The log has no index on gid, because every commit would pay for it: within a time it
 * is a scan of the BRIN index outbox_created_at, without one a scan of everything that retention keeps.
 */
export async function selectLogOfGid(
  client: Queryable,
  gid: string,
  within: InsertedWithin | undefined,
): Promise<readonly InspectedLogRow[]> {
  const { rows } = await client.query<InspectedLogRow>({
    text: `select log.id, log.branch, log.topic, log.key, log.payload, octet_length(log.body) as "bodyBytes", log.headers,
  log.created_at as "createdAt", extract(epoch from clock_timestamp() - log.created_at)::float8 * 1000 as "ageMs",
  ${HANDED_ON} as "handedOn",
  (select r.name from postcommit.position p join postcommit.relay r on r.id = p.owner
   where log.slot between p.slot_first and p.slot_last) as owner
from postcommit.outbox log
where log.gid = $1
  and log.created_at between to_timestamp($2::float8 / 1000) and to_timestamp($3::float8 / 1000)
order by log.branch`,
    values: [gid, within?.fromMs ?? Number.NEGATIVE_INFINITY, within?.toMs ?? Number.POSITIVE_INFINITY],
  })
  return rows
}
