import { NATS_DESTINATION } from 'postcommit/protocol'
import type { Queryable } from '../store/queryable.ts'
import { selectDeliveryBacklog } from '../store/select-delivery-backlog.ts'
import { selectLogBacklog } from '../store/select-log-backlog.ts'
import type { Metrics } from './metrics.ts'

/** Brings the gauges that only the database knows up to date. Run for a scrape, not for every message. */
export async function refreshBacklog(client: Queryable, source: string, metrics: Metrics): Promise<void> {
  const log = await selectLogBacklog(client)
  const deliveries = await selectDeliveryBacklog(client)
  const gauges = new Map([[NATS_DESTINATION, { waiting: log.messages, dead: 0, oldest: log.oldestAgeSeconds }]])
  for (const { destination, waiting, dead, oldestAgeSeconds } of deliveries) {
    const sum = gauges.get(destination) ?? { waiting: 0, dead: 0, oldest: 0 }
    gauges.set(destination, {
      waiting: sum.waiting + waiting,
      dead: sum.dead + dead,
      oldest: Math.max(sum.oldest, oldestAgeSeconds),
    })
  }
  for (const gauge of [metrics.backlog, metrics.dead, metrics.oldestAge]) gauge.remove({ source })
  for (const [destination, { waiting, dead, oldest }] of gauges) {
    metrics.backlog.set({ source, destination }, waiting)
    metrics.dead.set({ source, destination }, dead)
    metrics.oldestAge.set({ source, destination }, oldest)
  }
}
