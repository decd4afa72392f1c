import { DeliveryRefused } from 'postcommit/protocol'
import type { Delivery, Destination } from '../destinations/destination.ts'
import { createHandlerDestination } from '../destinations/handler.ts'
import { readBatch } from '../engine/redis-batch.ts'
import { closeSession, openSession, REDIS_OUTBOX_OPTIONS, type SessionConfig } from '../postgres/sessions.ts'
import { type ParkedContent, REDIS_OUTBOX_DESTINATION } from '../store/redis-outbox/park-entries.ts'
import { selectSale } from '../store/redis-outbox/select-sale.ts'
import { BatchWriter } from './batch-writer.ts'
import type { RedisOutboxSource } from './serve-redis-outbox.ts'

/**
 * Applies entries that were set aside, each when a person has requeued its dead letter: alone, in a transaction as any
 * batch. Of a sale that stands still nothing is applied; it comes again later. An entry of an earlier epoch is applied
 * under the present one: who requeues it has decided that it stands, and the database still lets no more be sold than
 * there is.
 */
export function createParkedDestination(
  outboxes: readonly (RedisOutboxSource & { readonly source: string })[],
  databases: Readonly<Record<string, SessionConfig>>,
): Destination {
  return createHandlerDestination(
    REDIS_OUTBOX_DESTINATION,
    async (delivery) => {
      const outbox = outboxes.find(({ name, source }) => name === delivery.target && source === delivery.source)
      const database = databases[delivery.source]
      if (outbox === undefined || database === undefined)
        throw new Error(`this relay does not serve ${delivery.target}`)
      await applyParked(delivery, outbox, database)
    },
    { concurrency: 1 },
  )
}

async function applyParked({ content }: Delivery, outbox: RedisOutboxSource, database: SessionConfig): Promise<void> {
  const { name, write } = outbox
  const parked = JSON.parse(String(content)) as ParkedContent
  const session = await openSession(database, undefined, REDIS_OUTBOX_OPTIONS, () => undefined)
  try {
    const sale = await selectSale(session, name)
    if (sale?.stoppedReason != null) throw new Error(`the sale stands still: ${sale.stoppedReason}`)
    const raw = { id: parked.id, epoch: sale?.epoch ?? parked.epoch, text: parked.entry, value: parked.value }
    const { entries, broken } = readBatch([raw], write !== undefined)
    if (broken[0] !== undefined) throw new DeliveryRefused(broken[0].reason)
    await new BatchWriter(session, { name, write, actor: '' }).apply(entries)
  } finally {
    await closeSession(session)
  }
}
