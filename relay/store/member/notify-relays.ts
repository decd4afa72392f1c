import type { Queryable } from '../queryable.ts'

/**
 * Wakes the relays of this database: something is due that was not. They would find it by themselves, a little later.
 *
 * @param from - the relay that tells the others and has woken its own loops: it takes no notice of this one
 */
export async function notifyRelays(client: Queryable, from = ''): Promise<void> {
  await client.query({ text: `select pg_notify('postcommit', $1)`, values: [from] })
}
