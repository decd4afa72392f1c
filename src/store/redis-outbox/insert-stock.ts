import type { Statement } from '../database.ts'

/**
 * Registers a stock of an outbox in Redis, and tells what is registered: the same again changes nothing.
 *
 * It comes before the stock is put into Redis, because what is sold of a stock that this table does not know would have
 * no limit here. Both rows are locked by the updates, so that two who open it see the same epoch. Primary keys.
 */
export function insertStock(
  name: string,
  { key, units, epoch, barrierMs }: { key: string; units: number; epoch: string; barrierMs: number },
): Statement {
  return {
    text: `with outbox as (
  insert into postcommit.redis_outbox as o (name, epoch, barrier_ms) values ($1, $4, $5::bigint)
  on conflict (name) do update set barrier_ms = greatest(o.barrier_ms, excluded.barrier_ms)
  returning epoch, stopped_reason
), stock as (
  insert into postcommit.redis_stock as s (name, key, total) select $1, $2, $3::bigint from outbox
  on conflict (name, key) do update set total = s.total
  returning total, sold, stocked_at is not null as stocked
)
select epoch, stopped_reason, total, sold, stocked,
  exists (select from postcommit.redis_stock where name = $1 and stocked_at is not null) as begun
from outbox, stock`,
    values: [name, key, units, epoch, barrierMs],
  }
}

/** Says that a stock was put into Redis: a Redis without it has lost it from now on. Primary key. */
export function markStocked(name: string, key: string): Statement {
  return {
    text: `update postcommit.redis_stock set stocked_at = clock_timestamp()
where name = $1 and key = $2 and stocked_at is null`,
    values: [name, key],
  }
}
