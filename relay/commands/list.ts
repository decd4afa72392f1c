import { Command, InvalidArgumentError, Option } from 'commander'
import { parseGid } from 'postcommit/protocol'
import { shownJson } from '../engine/error-text.ts'
import { formatDuration, parseDuration } from '../operators/duration.ts'
import { nameOfMessage } from '../operators/message-name.ts'
import type { MessagePage } from '../operators/read-messages.ts'
import type { ListedMessage, MessageFilter } from '../store/message/list-messages.ts'
import { MessageState } from '../store/message/message-state.ts'
import { addSourceFlags, isGiven } from './shell/config-flags.ts'
import type { CommandContext } from './shell/context.ts'
import { withSources } from './shell/sources.ts'
import { formatTable, shorten } from './shell/table.ts'

interface ListOptions {
  readonly state?: readonly MessageState[]
  readonly topic?: string
  readonly destination?: string
  readonly key?: string
  readonly gid?: string
  readonly since?: number
  readonly before?: string
  readonly limit: number
}

const STATES = Object.values(MessageState)

export function listCommand(context: CommandContext): Command {
  return addSourceFlags(new Command('list'))
    .description('messages, newest first')
    .addOption(new Option('--state <states>', `${STATES.join(', ')}; several with commas`).argParser(parseStates))
    .option('--topic <pattern>', 'subject or path; * stands for any text')
    .option('--destination <name>', 'a destination, or nats')
    .option('--key <key>', 'ordering key')
    .option('--gid <gid>', 'messages of one commit')
    .addOption(new Option('--since <time>', 'committed within, for example 15m, 1h, 2d').argParser(parseSince))
    .addOption(new Option('--limit <n>', 'messages a page').default(50).argParser(parseLimit))
    .addOption(new Option('--before <id>', 'the next page: the id that the last one ended with').argParser(parseId))
    .option('--source <name>', 'only this database')
    .action(async (options: ListOptions, command: Command) => {
      const filter = filterOf(options)
      // Kysely takes longer to load than everything else a command needs.
      const { messagePage } = await import('../operators/read-messages.ts')
      const pages = await withSources(context, command, async (sources) => {
        if (sources.length > 1 && options.before !== undefined) {
          command.error('error: --before needs --source, because ids are of one database')
        }
        const read = sources.map(async ({ source, pool }) => ({
          source,
          ...(await messagePage(pool, filter, options.limit)),
        }))
        return Promise.all(read)
      })
      if (isGiven(command, 'json')) return context.out(shownJson({ sources: pages }, 2))
      for (const line of describePages(pages)) context.out(line)
    })
}

interface Page extends MessagePage {
  readonly source: string
}

function describePages(pages: readonly Page[]): readonly string[] {
  const several = pages.length > 1
  const head = ['MESSAGE', 'STATE', 'DESTINATION', 'TOPIC', 'KEY', 'AGE', 'NEXT', 'FAILED', 'LAST ERROR']
  const rows = pages.flatMap(({ source, messages }) =>
    messages.map((message) => [...(several ? [source] : []), ...rowOf(message)]),
  )
  if (rows.length === 0) return ['No message fits.']
  const more = pages.flatMap(({ source, before }) =>
    before === null ? [] : [`More: the same with ${several ? `--source ${source} ` : ''}--before ${before}`],
  )
  return [...formatTable([[...(several ? ['SOURCE'] : []), ...head], ...rows]), ...more]
}

function rowOf(message: ListedMessage): string[] {
  const { state, destination, target, key, ageMs, dueInMs, attempts, lastError } = message
  return [
    nameOfMessage(message),
    state,
    destination,
    shorten(target, 40),
    shorten(key ?? '-', 24),
    formatDuration(ageMs),
    dueInMs === null ? '-' : dueInMs <= 0 ? 'now' : `in ${formatDuration(dueInMs)}`,
    attempts === 0 ? '-' : String(attempts),
    shorten(lastError ?? '-', 60),
  ]
}

function filterOf({ state, topic, destination, key, gid, since, before }: ListOptions): MessageFilter {
  return {
    ...(state !== undefined && { states: state }),
    ...(topic !== undefined && { target: topic }),
    ...(destination !== undefined && { destination }),
    ...(key !== undefined && { key }),
    ...(gid !== undefined && { gid: parseGid(gid) }),
    ...(since !== undefined && { sinceMs: since }),
    ...(before !== undefined && { before }),
  }
}

function parseStates(text: string): readonly MessageState[] {
  return text.split(',').map((name) => {
    const state = STATES.find((known) => known === name.trim())
    if (state === undefined) throw new InvalidArgumentError(`States are ${STATES.join(', ')}.`)
    return state
  })
}

function parseSince(text: string): number {
  const milliseconds = parseDuration(text)
  if (milliseconds === undefined) throw new InvalidArgumentError('Times are a whole number with ms, s, m, h or d.')
  return milliseconds
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
