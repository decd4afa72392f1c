import type { Queryable } from '../queryable.ts'

/**
 * Up to which id the messages of the log are older than the retention, by the database's clock; 0: none is.
 *
 * By halving over the primary key: ids are drawn at the insert, so they rise with the time to within the moment that an
 * insert takes, and a search over `created_at` would read all that is older. Each of some 40 steps takes the first row at
 * or above an id, which is one descent in each partition above it.
 */
export async function selectExpiredId(client: Queryable, retentionMs: number): Promise<bigint> {
  const { rows } = await client.query<{ expired: string }>({
    text: `with recursive moment as materialized (
  select clock_timestamp() - $1 * interval '1 millisecond' as before
), bounds (old, young) as (
  -- The first message at or above old is older than the retention, that at or above young is not, or there is none.
  select 0::bigint, (select last_value + 1 from postcommit.outbox_id)
  union all
  select case when is_old then middle else old end, case when is_old then young else middle end from (
    select old, young, (old + young) / 2 as middle, coalesce((
      select created_at < (select before from moment) from postcommit.outbox where id >= (old + young) / 2
      order by id limit 1
    ), false) as is_old
    from bounds where young - old > 1
  ) step
)
select max(old)::text as expired from bounds`,
    values: [retentionMs],
  })
  return BigInt(rows[0]?.expired ?? 0)
}
