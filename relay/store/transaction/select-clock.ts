import type { Queryable } from '../queryable.ts'

/** What time it is by the database's clock, Unix milliseconds: due times are computed by it, whatever a relay's host says. */
export async function selectClock(client: Queryable): Promise<number> {
  const { rows } = await client.query<{ nowMs: number }>({
    name: 'postcommit_select_clock',
    text: 'select extract(epoch from clock_timestamp())::float8 * 1000 as "nowMs"',
  })
  return rows[0]?.nowMs ?? 0
}
