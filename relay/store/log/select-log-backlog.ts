import type { Queryable } from '../queryable.ts'
import { IS_HOME } from '../server/select-installation.ts'

/** What has been committed to the log and not been handed on. */
export interface LogBacklog {
  /** Counted to {@link BACKLOG_COUNT_MAX} a shard; null: not known, because the log was written elsewhere. */
  readonly messages: number | null
  /** Seconds since the oldest of them was inserted, by the database's clock; 0 if there is none, null if not known. */
  readonly oldestAgeSeconds: number | null
}

/** Counting goes no further: a backlog of millions is read by the publisher, not by its metrics. */
export const BACKLOG_COUNT_MAX = 100_000

/**
 * Counts per shard what its position does not cover: the same two ranges of xid as the reader's, less what is done of
 * a frozen window. Index outbox_xid, stopped by LIMIT, in every partition: whether a reader would look there is not asked.
 * In a log that was written elsewhere the positions mean nothing, and neither would a count.
 */
export async function selectLogBacklog(client: Queryable): Promise<LogBacklog> {
  const { rows } = await client.query<{ messages: string; oldest: number | null; home: boolean }>({
    text: `select sum(open.messages) as messages, max(open.oldest) as oldest, ${IS_HOME} as home
from postcommit.position p cross join lateral (
  select count(*) as messages, extract(epoch from clock_timestamp() - min(created_at))::float8 as oldest from (
    select created_at from postcommit.outbox
    where (xid >= pg_snapshot_xmax(p.snapshot) or xid = any(array(select pg_snapshot_xip(p.snapshot))))
      and slot between p.slot_first and p.slot_last
      and not (p.window_id is not null and id <= p.window_id and pg_visible_in_snapshot(xid, p.window_snapshot))
    limit ${BACKLOG_COUNT_MAX}
  ) counted
) open`,
  })
  if (rows[0]?.home !== true) return { messages: null, oldestAgeSeconds: null }
  return { messages: Number(rows[0]?.messages ?? 0), oldestAgeSeconds: Math.max(0, rows[0]?.oldest ?? 0) }
}
