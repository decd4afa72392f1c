import type { Queryable } from '../queryable.ts'

/**
 * Notes that nobody answers at a destination of back-queries: since when, and what went wrong last. One row for each
 * destination, by primary key; it is written once a second at most, while single questions find out whether it is back.
 */
export async function recordOutage(client: Queryable, destination: string, error: string): Promise<void> {
  await client.query({
    name: 'postcommit_record_outage',
    text: `insert into postcommit.check_outage (destination, last_error) values ($1, $2)
on conflict (destination) do update set last_at = clock_timestamp(), last_error = excluded.last_error`,
    values: [destination, error],
  })
}

/** Notes that a destination has answered; primary key. */
export async function endOutage(client: Queryable, destination: string): Promise<void> {
  await client.query({
    name: 'postcommit_end_outage',
    text: 'delete from postcommit.check_outage where destination = $1',
    values: [destination],
  })
}
