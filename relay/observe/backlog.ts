import { DeliveryState, NATS_DESTINATION } from 'postcommit/protocol'
import { countDeliveries } from '../store/count-deliveries.ts'
import type { Queryable } from '../store/queryable.ts'
import { selectInstallation } from '../store/select-installation.ts'
import { selectLogBacklog } from '../store/select-log-backlog.ts'
import type { Metrics } from './metrics.ts'

/** Brings the gauge up to date that says whether committed transactions may be missing, and tells why. */
export async function refreshDoubt(client: Queryable, source: string, metrics: Metrics): Promise<string | undefined> {
  const { doubt } = await selectInstallation(client)
  metrics.historyDoubt.set({ source }, doubt === null ? 0 : 1)
  return doubt ?? undefined
}

/** Brings the gauges that only the database knows up to date. Run for a scrape, not for every message. */
export async function refreshBacklog(client: Queryable, source: string, metrics: Metrics): Promise<void> {
  const log = await selectLogBacklog(client)
  const deliveries = await countDeliveries(client)
  const { backlog, dead, oldestAge } = metrics
  // What was counted before and is not now has become nothing, and must not go on being shown.
  for (const gauge of [backlog, dead, oldestAge]) {
    const { values } = await gauge.get()
    for (const { labels } of values) if (labels.source === source) gauge.set(labels, 0)
  }
  const waiting = new Map([
    [NATS_DESTINATION, { count: log.messages ?? Number.NaN, oldest: log.oldestAgeSeconds ?? Number.NaN }],
  ])
  for (const { destination, state, count, oldestAgeMs } of deliveries) {
    if (state === DeliveryState.Dead) {
      dead.set({ source, destination }, count)
      continue
    }
    const before = waiting.get(destination) ?? { count: 0, oldest: 0 }
    waiting.set(destination, { count: before.count + count, oldest: Math.max(before.oldest, oldestAgeMs / 1000) })
  }
  for (const [destination, { count, oldest }] of waiting) {
    backlog.set({ source, destination }, count)
    oldestAge.set({ source, destination }, oldest)
  }
}
