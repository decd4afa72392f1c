import { Command } from 'commander'
import { maskUrl } from '../config/mask.ts'
import { shownJson } from '../engine/error-text.ts'
import { formatDuration } from '../operators/duration.ts'
import { type Overview, type RelayAtWork, readOverview } from '../operators/read-overview.ts'
import { troubleText } from '../operators/trouble-text.ts'
import type { BrokerLoss } from '../store/broker/select-broker-losses.ts'
import type { DeliveryCount } from '../store/delivery/count-deliveries.ts'
import { BACKLOG_COUNT_MAX } from '../store/log/select-log-backlog.ts'
import type { ShardPosition } from '../store/log/select-positions.ts'
import type { StockRow } from '../store/redis-outbox/select-stocks.ts'
import type { TransactionCounts } from '../store/transaction/count-transactions.ts'
import { addSourceFlags, isGiven } from './shell/config-flags.ts'
import type { CommandContext } from './shell/context.ts'
import { type OpenSource, withSources } from './shell/sources.ts'
import { formatTable } from './shell/table.ts'

/** How one source stands. */
interface SourceStatus extends Overview {
  readonly source: string
  readonly database: string
}

export function statusCommand(context: CommandContext): Command {
  return addSourceFlags(new Command('status'))
    .description('what is waiting, held and dead, and which relays are running')
    .option('--source <name>', 'only this database')
    .action(async (_, command: Command) => {
      const sources = await withSources(context, command, (opened) => Promise.all(opened.map(readStatus)))
      if (isGiven(command, 'json')) context.out(shownJson({ sources }, 2))
      else for (const line of sources.flatMap(describeSource)) context.out(line)
    })
}

async function readStatus({ source, url, pool }: OpenSource): Promise<SourceStatus> {
  return { source, database: maskUrl(url), ...(await readOverview(pool)) }
}

function describeSource(status: SourceStatus): readonly string[] {
  const { source, database, doubt, deliveries, transactions, stocks, relays, shards, losses, troubles } = status
  return [
    `Source ${source}  ${database}`,
    `  Log: ${describeLog(status)}`,
    ...(doubt === null ? [] : [`  In doubt: ${doubt} (postcommit audit)`]),
    ...losses.map(describeLoss),
    deliveries === null ? '  Deliveries: unknown: their table is locked' : describeDeliveries(deliveries),
    ...formatTable(deliveryRows(deliveries ?? []), '    '),
    `  Transactions: ${describeTransactions(transactions)}`,
    ...(stocks.length === 0 ? [] : ['  Sold in Redis:']),
    ...formatTable(stockRows(stocks), '    '),
    relays.length === 0 ? '  Relays: none is running' : '  Relays:',
    ...formatTable(relayRows(relays, shards), '    '),
    ...(troubles.length === 0 ? [] : ['  In the way:', ...troubles.map((trouble) => `    ${troubleText(trouble)}`)]),
  ]
}

function describeLog({ origin, log: { messages, oldestAgeSeconds } }: SourceStatus): string {
  if (origin !== null) return `not known: it was written in ${origin} (postcommit rebase)`
  if (messages === null || oldestAgeSeconds === null) return 'unknown: it is locked; postcommit doctor shows by whom'
  if (messages === 0) return 'everything is handed on'
  return `${formatCount(messages)} waiting for the broker, the oldest for ${formatDuration(oldestAgeSeconds * 1000)}`
}

function describeLoss({ stream, ageMs, leftOut }: BrokerLoss): string {
  const left = leftOut === 0 ? '' : `, except ${formatCount(leftOut)} older than the retention`
  return `  Broker: stream ${stream} had lost what it acknowledged ${formatDuration(ageMs)} ago; it was published again${left}`
}

function describeTransactions({ prepared, submitted, aborting, inDoubt, oldestAgeSeconds }: TransactionCounts): string {
  const counts = [
    [prepared, 'not decided'],
    [inDoubt, 'of them in doubt (postcommit in-doubt)'],
    [submitted, 'going forward'],
    [aborting, 'being undone'],
  ] as const
  const open = counts.flatMap(([count, what]) => (count === 0 ? [] : [`${formatCount(count)} ${what}`]))
  if (open.length === 0) return 'none under way'
  return `${open.join(', ')}; the oldest for ${formatDuration(oldestAgeSeconds * 1000)}`
}

function describeDeliveries(deliveries: readonly DeliveryCount[]): string {
  return deliveries.length === 0 ? '  Deliveries: none pending, held or dead' : '  Deliveries:'
}

function deliveryRows(deliveries: readonly DeliveryCount[]): readonly string[][] {
  if (deliveries.length === 0) return []
  const rows = deliveries.map(({ destination, state, count, oldestAgeMs }) => [
    destination,
    state,
    formatCount(count),
    formatDuration(oldestAgeMs),
  ])
  return [['DESTINATION', 'STATE', 'COUNT', 'OLDEST'], ...rows]
}

function stockRows(stocks: readonly StockRow[]): readonly string[][] {
  if (stocks.length === 0) return []
  const rows = stocks.map(({ outbox, key, total, sold, refused, stoppedReason }) => [
    outbox,
    key,
    `${sold} of ${total}`,
    String(refused),
    stoppedReason === null ? 'on sale' : `stands still: ${stoppedReason}`,
  ])
  return [['OUTBOX', 'STOCK', 'SOLD', 'REFUSED', 'STATE'], ...rows]
}

function relayRows(relays: readonly RelayAtWork[], shards: readonly ShardPosition[]): readonly string[][] {
  if (relays.length === 0) return []
  const rows = relays.map(({ name, version, alive, leaseMs, claims }) => [
    name,
    version,
    alive && leaseMs > 0 ? 'running' : 'gone, about to be replaced',
    String(shards.filter(({ owner }) => owner === name).length),
    claims === null ? 'unknown' : String(claims),
  ])
  return [['RELAY', 'VERSION', 'STATE', 'SHARDS', 'CLAIMS'], ...rows]
}

function formatCount(count: number): string {
  return count >= BACKLOG_COUNT_MAX ? `${BACKLOG_COUNT_MAX} or more` : String(count)
}
