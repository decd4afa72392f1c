import { DeliveryState, NATS_DESTINATION, within } from 'postcommit/protocol'
import { countDeliveries, type DeliveryCount } from '../store/delivery/count-deliveries.ts'
import { type LogBacklog, selectLogBacklog } from '../store/log/select-log-backlog.ts'
import type { Queryable } from '../store/queryable.ts'
import { selectInstallation } from '../store/server/select-installation.ts'
import type { Metrics } from './metrics.ts'

/** What takes longer to count is not known at the moment; shorter than a scrape waits. */
const COUNT_MS = 2000

/** Brings the gauge up to date that says whether committed transactions may be missing, and tells why. */
export async function refreshDoubt(client: Queryable, source: string, metrics: Metrics): Promise<string | undefined> {
  const { doubt } = await selectInstallation(client)
  metrics.historyDoubt.set({ source }, doubt === null ? 0 : 1)
  return doubt ?? undefined
}

/**
 * Brings the gauges that only the database knows up to date. Run for a scrape, not for every message. What cannot be
 * counted is not known, and must not go on being shown as it was: an old figure, or 0, would say that all is well.
 */
export async function refreshBacklog(client: Queryable, source: string, metrics: Metrics): Promise<void> {
  const counted = Promise.all([selectLogBacklog(client), countDeliveries(client)])
  const known = await within(COUNT_MS, counted, () => undefined).catch(() => undefined)
  if (known === undefined) {
    // Also if it has never been counted.
    metrics.backlog.set({ source, destination: NATS_DESTINATION }, Number.NaN)
    metrics.oldestAge.set({ source, destination: NATS_DESTINATION }, Number.NaN)
    await setAll(source, metrics, Number.NaN)
  } else await show(known, source, metrics)
}

/** Of every destination that has been counted. */
async function setAll(source: string, metrics: Metrics, value: number): Promise<void> {
  for (const gauge of [metrics.backlog, metrics.dead, metrics.oldestAge]) {
    const { values } = await gauge.get()
    for (const { labels } of values) if (labels.source === source) gauge.set(labels, value)
  }
}

async function show(
  [log, deliveries]: readonly [LogBacklog, readonly DeliveryCount[]],
  source: string,
  metrics: Metrics,
): Promise<void> {
  const { backlog, dead, oldestAge } = metrics
  // What was counted before and is not now has become nothing, and must not go on being shown.
  await setAll(source, metrics, 0)
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
