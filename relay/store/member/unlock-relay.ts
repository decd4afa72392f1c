import type { Queryable } from '../queryable.ts'
import { RELAY_LOCK_CLASS } from './insert-relay.ts'

/** Gives back the advisory lock of a buried relay. */
export async function unlockRelay(client: Queryable, relay: string): Promise<void> {
  await client.query({ text: `select pg_advisory_unlock(${RELAY_LOCK_CLASS}, $1::int)`, values: [relay] })
}
