import type { Queryable } from '../queryable.ts'

/** Wakes the relays of this database: something is due that was not. They would find it by themselves, a little later. */
export async function notifyRelays(client: Queryable): Promise<void> {
  await client.query({ text: `select pg_notify('postcommit', '')` })
}
