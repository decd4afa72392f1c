import { Command } from 'commander'
import { shownJson } from '../engine/error-text.ts'
import { formatDuration } from '../operators/duration.ts'
import { explainTransaction } from '../operators/explain-transaction.ts'
import { findMessages, type InspectedMessage } from '../operators/find-messages.ts'
import { nameOfMessage, readMessageName } from '../operators/message-name.ts'
import type { ShownTransaction } from '../operators/read-transactions.ts'
import { selectGidOfDelivery } from '../store/message/select-gid-of-delivery.ts'
import type { EntryOfGid } from '../store/redis-outbox/select-entries-of-gid.ts'
import type { TransactionKey } from '../store/transaction/transaction-row.ts'
import { describeStory } from './describe-transaction.ts'
import { addSourceFlags, isGiven } from './shell/config-flags.ts'
import type { CommandContext } from './shell/context.ts'
import { ExitCode } from './shell/exit-code.ts'
import { type OpenSource, withSources } from './shell/sources.ts'
import { formatTable, shorten } from './shell/table.ts'

interface InspectOptions {
  readonly payload?: boolean
  readonly tenant: string
}

export function inspectCommand(context: CommandContext): Command {
  return addSourceFlags(new Command('inspect'))
    .argument('<gid>', 'a gid, gid:branch for one message of it, or #number as dead-letter list shows it')
    .description('where the messages of a commit or the branches of a transaction are, and why not further')
    .option('--payload', 'show payloads and headers too')
    .option('--tenant <name>', 'whose transaction', '')
    .option('--source <name>', 'only this database')
    .action(async (text: string, options: InspectOptions, command: Command) => {
      const name = readMessageName(text)
      const { gid, found, transactions } = await withSources(context, command, async (sources) => {
        const { gid, branch } = 'id' in name ? await nameById(sources, name.id) : name
        const results = await Promise.all(sources.map((source) => findMessages(source, gid)))
        const stories = branch === undefined ? await readStories(sources, { tenant: options.tenant, gid }) : []
        const found = results.flatMap(({ source, messages, committedAt, entries }) => ({
          source,
          committedAt,
          entries,
          messages: messages
            .filter((each) => branch === undefined || each.branch === branch)
            .map((each) => (options.payload === true ? each : withoutPayload(each))),
        }))
        return { gid, found, transactions: stories }
      })
      const isMessage = found.some(({ messages, entries }) => messages.length + entries.length > 0)
      if (!isMessage && transactions.length === 0) context.finish(ExitCode.Failed)
      if (isGiven(command, 'json')) {
        const messages = found.flatMap(({ source, messages: of }) => of.map((each) => ({ source, ...each })))
        const entries = found.flatMap(({ source, entries: of }) => of.map((each) => ({ source, ...each })))
        return context.out(shownJson({ gid, messages, entries, transactions }, 2))
      }
      const stories = transactions.flatMap((story) => describeStory(story, explainTransaction(story)))
      if (isMessage || stories.length === 0) for (const line of describe(text, found)) context.out(line)
      for (const line of stories) context.out(line)
    })
}

/** What is named by its number in the database; no gid is empty, so what is not there is not found either. */
async function nameById(sources: readonly OpenSource[], id: string) {
  const found = await Promise.all(sources.map(({ pool }) => selectGidOfDelivery(pool, id)))
  return found.find((one) => one !== undefined) ?? { gid: '', branch: 0 }
}

/** A transaction is in the database of its coordinator, which need not be that of the messages. */
async function readStories(
  sources: readonly OpenSource[],
  key: TransactionKey,
): Promise<(ShownTransaction & { readonly source: string })[]> {
  // Kysely takes longer to load than everything else a command needs.
  const { transactionStory } = await import('../operators/read-transactions.ts')
  const stories = await Promise.all(
    sources.map(async ({ source, pool }) => {
      const story = await transactionStory(pool, key)
      return story === undefined ? [] : [{ source, ...story }]
    }),
  )
  return stories.flat()
}

interface Found {
  readonly source: string
  /** Known of a gid that the caller chose, also after its messages are gone. */
  readonly committedAt: Date | undefined
  /** What was done under it in Redis. */
  readonly entries: readonly EntryOfGid[]
  readonly messages: readonly InspectedMessage[]
}

function withoutPayload(message: InspectedMessage): InspectedMessage {
  return { ...message, payload: undefined, headers: undefined }
}

function describe(text: string, found: readonly Found[]): readonly string[] {
  const lines = found.flatMap(({ source, messages, entries }) => [
    ...entries.map(describeEntry),
    ...messages.flatMap((message) => describeMessage(message, found.length > 1 ? ` in ${source}` : '')),
  ])
  if (lines.length > 0) return lines
  const claim = found.find(({ committedAt }) => committedAt !== undefined)
  return claim?.committedAt === undefined
    ? [`No message of ${text} is known: its transaction did not commit here, or retention has passed.`]
    : [`${text} was committed at ${claim.committedAt.toISOString()}; it had no messages, or retention has passed.`]
}

function describeEntry({ outbox, op, key, qty, appliedAt }: EntryOfGid): string {
  const done = { deduct: `${qty} of ${key} taken`, give_back: `${qty} of ${key} given back` }[op] ?? 'a script was run'
  return `${outbox}: ${done} in Redis, applied here at ${appliedAt.toISOString()}.`
}

const EXPLANATION_CHARACTERS = 1000
/** More than a payload may have. */
const CONTENT_CHARACTERS = 1_000_000

function describeMessage(message: InspectedMessage, place: string): readonly string[] {
  const { destination, target, key, createdAt, ageMs, history, payload, headers } = message
  const ordered = key === null ? '' : `  key ${shorten(key, 60)}`
  const story = history.map(({ at, event, attempt, durationMs, detail, actor }) => [
    at.toISOString().slice(0, 23).replace('T', ' '),
    event === 'requeued' || event === 'discarded' ? event : `attempt ${attempt} ${event}`,
    durationMs === null ? '' : formatDuration(durationMs),
    shorten(detail ?? '', 80),
    actor,
  ])
  return [
    `${shorten(nameOfMessage(message), 100)}  ${shorten(destination, 64)} ${shorten(target, 80)}${ordered}`,
    `  ${shorten(message.explanation, EXPLANATION_CHARACTERS)}`,
    `  Committed${place} ${formatDuration(ageMs)} ago, ${createdAt.toISOString()}.`,
    ...formatTable(story, '    '),
    ...(payload === undefined ? [] : [`  Payload: ${shorten(payload, CONTENT_CHARACTERS)}`]),
    ...(headers === undefined || headers === null ? [] : [`  Headers: ${shorten(headers, CONTENT_CHARACTERS)}`]),
  ]
}
