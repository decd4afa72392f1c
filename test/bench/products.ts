import { setTimeout as sleep } from 'node:timers/promises'

/** The rows that are cached, about 200 bytes as JSON each. */
export const PRODUCTS_SCHEMA = `
create table products (id int primary key, version int not null, price int not null, text text not null);
insert into products select id, 1, 100 + id % 900, repeat('x', 150) from generate_series(1, 20000) id;
analyze products`

/** The monotonic clock that all processes of the machine share, milliseconds. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/**
 * Begins something `perSecond` times a second on average, whether what was begun before is done or not; gaps are
 * exponential. Calls `begin` with how late it is, milliseconds.
 */
export async function pace(perSecond: number, ms: number, begin: (lateMs: number) => void): Promise<void> {
  const startedAt = performance.now()
  for (let due = 0; due < ms; due += (-Math.log(1 - Math.random()) * 1000) / perSecond) {
    const waitMs = startedAt + due - performance.now()
    if (waitMs > 0) await sleep(waitMs)
    begin(performance.now() - startedAt - due)
  }
}
