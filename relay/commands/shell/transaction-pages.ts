import { type Command, InvalidArgumentError, Option } from 'commander'
import { shownJson } from '../../engine/error-text.ts'
import { formatDuration } from '../../operators/duration.ts'
import type { TransactionPage } from '../../operators/read-transactions.ts'
import type { TransactionFilter } from '../../store/transaction/list-transactions.ts'
import { addSourceFlags, isGiven } from './config-flags.ts'
import type { CommandContext } from './context.ts'
import { withCoordinator } from './coordinator-source.ts'
import { formatTable, shorten } from './table.ts'

/** The flags of every list of transactions. */
export interface PageOptions {
  readonly tenant?: string
  readonly before?: string
  readonly limit: number
}

const REASON_CHARACTERS = 80

/** Adds the flags of {@link PageOptions}. */
export function addPageOptions(command: Command): Command {
  return addSourceFlags(command)
    .option('--tenant <name>', 'only of this tenant')
    .addOption(new Option('--limit <n>', 'transactions a page').default(50).argParser(parseLimit))
    .addOption(new Option('--before <id>', 'the next page: what the last one ended with').argParser(parseId))
    .option('--source <name>', 'only this database')
}

/** Prints a page of the transactions that fit. */
export async function showPage(
  context: CommandContext,
  command: Command,
  { tenant, before, limit }: PageOptions,
  filter: TransactionFilter,
): Promise<void> {
  const asked = { ...filter, ...(tenant !== undefined && { tenant }), ...(before !== undefined && { before }) }
  // Kysely takes longer to load than everything else a command needs.
  const { transactionPage } = await import('../../operators/read-transactions.ts')
  const page = await withCoordinator(context, command, ({ pool }) => transactionPage(pool, asked, limit))
  if (isGiven(command, 'json')) context.out(shownJson(page, 2))
  else for (const line of describePage(page)) context.out(line)
}

function describePage({ transactions, before }: TransactionPage): readonly string[] {
  if (transactions.length === 0) return ['No transaction fits.']
  const now = Date.now()
  const rows = transactions.map((transaction) => {
    const { gid, tenant, mode, status, asked, createdAt, dueAt, pausedReason } = transaction
    return [
      gid,
      tenant === '' ? '-' : tenant,
      mode,
      status,
      asked === 0 ? '-' : String(asked),
      formatDuration(now - createdAt.getTime()),
      pausedReason !== null ? 'paused' : whenDue(dueAt, now),
      shorten(whyItStands(transaction, now), REASON_CHARACTERS),
    ]
  })
  const more = before === null ? [] : [`More: the same with --before ${before}`]
  return [...formatTable([['GID', 'TENANT', 'MODE', 'STATUS', 'ASKED', 'AGE', 'NEXT', 'REASON'], ...rows]), ...more]
}

/** Why it was given up or is paused; what keeps it undecided. */
function whyItStands(transaction: TransactionPage['transactions'][number], now: number): string {
  const { pausedReason, reason, inDoubt, lastError, unreachableSince } = transaction
  if (pausedReason !== null) return pausedReason
  if (reason !== null) return reason
  if (!inDoubt) return '-'
  if (unreachableSince === null) return lastError ?? 'to be asked about'
  const duration = formatDuration(Math.max(0, now - unreachableSince.getTime()))
  return `unreachable for ${duration}: ${(lastError ?? '').replace(/^unreachable: /, '')}`
}

function whenDue(dueAt: Date | null, now: number): string {
  if (dueAt === null) return '-'
  return dueAt.getTime() <= now ? 'now' : `in ${formatDuration(dueAt.getTime() - now)}`
}

function parseLimit(text: string): number {
  const limit = Number(text)
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) throw new InvalidArgumentError('1 to 1000.')
  return limit
}

function parseId(text: string): string {
  if (!/^\d{1,18}$/.test(text)) throw new InvalidArgumentError('An id is a whole number.')
  return text
}
