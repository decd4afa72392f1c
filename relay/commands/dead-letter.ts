import { hostname, userInfo } from 'node:os'
import { Command } from 'commander'
import { shownJson } from '../engine/error-text.ts'
import { formatDuration } from '../people/duration.ts'
import { type MessageName, nameOfMessage, readMessageName } from '../people/message-name.ts'
import { discardDeadLetters } from '../store/discard-dead-letters.ts'
import { requeueDeadLetters } from '../store/requeue-dead-letters.ts'
import { type DeadLetter, selectDeadLetters } from '../store/select-dead-letters.ts'
import { addSourceFlags, isGiven } from './config-flags.ts'
import type { CommandContext } from './context.ts'
import { ExitCode } from './exit-code.ts'
import { type OpenSource, withSources } from './sources.ts'
import { formatTable, shorten } from './table.ts'

interface ListOptions {
  readonly destination?: string
}

interface ActOptions {
  readonly all?: boolean
  readonly destination?: string
  readonly reason?: string
  readonly actor: string
  readonly dryRun?: boolean
}

/** A dead letter of one of several databases. */
type Found = DeadLetter & { readonly source: string }

const PAGE = 1000

export function deadLetterCommand(context: CommandContext): Command {
  return new Command('dead-letter')
    .description('messages that were refused or are out of attempts')
    .addCommand(listCommand(context))
    .addCommand(
      actCommand(context, 'requeue', 'puts dead letters back: due now, in their place in the order of their key'),
    )
    .addCommand(actCommand(context, 'discard', 'gives dead letters up, which lets the messages behind them pass'))
}

function listCommand(context: CommandContext): Command {
  return addSourceFlags(new Command('list'))
    .description('dead letters, oldest first')
    .option('--destination <name>', 'only of this destination')
    .option('--source <name>', 'only this database')
    .action(async (options: ListOptions, command: Command) => {
      const found = await withSources(context, command, (sources) => findAll(sources, options))
      if (isGiven(command, 'json')) context.out(shownJson({ deadLetters: found }, 2))
      else for (const line of describe(found)) context.out(line)
    })
}

function actCommand(context: CommandContext, name: 'requeue' | 'discard', description: string): Command {
  const command = addSourceFlags(new Command(name))
    .description(description)
    .argument('[messages...]', 'gids, gid:branch for single messages, or #number where the gid is not valid')
    .option('--all', 'every dead letter, or every one of --destination')
    .option('--destination <name>', 'only of this destination')
    .option('--actor <name>', 'who does it, for the record', `${userInfo().username}@${hostname()}`)
    .option('--dry-run', 'only say what would be done')
    .option('--source <name>', 'only this database')
  const reason = 'why, for the record'
  if (name === 'discard') command.requiredOption('--reason <text>', reason)
  else command.option('--reason <text>', reason, 'the cause is mended')
  return command.action(async (messages: readonly string[], options: ActOptions, self: Command) => {
    if (messages.length > 0 === (options.all === true)) self.error('error: name the messages, or give --all')
    const chosen = messages.map(readMessageName)
    const done = await withSources(context, self, async (sources) => {
      const found = await findChosen(sources, chosen, options)
      return options.dryRun === true ? found : act(name, sources, found, options)
    })
    if (done.length === 0) context.finish(ExitCode.Failed)
    if (isGiven(self, 'json')) {
      return context.out(
        shownJson(
          { [name === 'requeue' ? 'requeued' : 'discarded']: done.map(nameOfMessage), dryRun: options.dryRun === true },
          2,
        ),
      )
    }
    for (const letter of done) context.out(nameOfMessage(letter))
    context.out(summary(name, done.length, options.dryRun === true))
  })
}

async function findChosen(
  sources: readonly OpenSource[],
  chosen: readonly MessageName[],
  { all, destination }: ActOptions,
): Promise<readonly Found[]> {
  if (all === true) return findAll(sources, { ...(destination !== undefined && { destination }) })
  const found = await Promise.all(
    chosen.map(async (name) => {
      const of = 'id' in name ? {} : { gid: name.gid }
      const letters = await findAll(sources, { ...of, ...(destination !== undefined && { destination }) })
      if ('id' in name) return letters.filter(({ id }) => id === name.id)
      return letters.filter(({ branch }) => name.branch === undefined || branch === name.branch)
    }),
  )
  return found.flat()
}

async function findAll(
  sources: readonly OpenSource[],
  filter: { readonly gid?: string; readonly destination?: string },
): Promise<readonly Found[]> {
  const found: Found[] = []
  for (const { source, pool } of sources) {
    for (let afterId: string | undefined; ; ) {
      const page = await selectDeadLetters(pool, { ...filter, afterId, limit: PAGE })
      found.push(...page.map((letter) => ({ source, ...letter })))
      afterId = page.at(-1)?.id
      if (page.length < PAGE) break
    }
  }
  return found
}

/** Acts page by page, so that no statement holds thousands of rows; returns what was still dead and is done. */
async function act(
  name: 'requeue' | 'discard',
  sources: readonly OpenSource[],
  found: readonly Found[],
  { actor, reason = '' }: ActOptions,
): Promise<readonly Found[]> {
  const done: Found[] = []
  for (const { source, pool } of sources) {
    const letters = found.filter((letter) => letter.source === source)
    for (let first = 0; first < letters.length; first += PAGE) {
      const page = letters.slice(first, first + PAGE)
      const ids = page.map(({ id }) => id)
      const write = name === 'requeue' ? requeueDeadLetters : discardDeadLetters
      const written = new Set(await write(pool, ids, { actor, reason }))
      done.push(...page.filter(({ id }) => written.has(id)))
    }
  }
  return done
}

function describe(found: readonly Found[]): readonly string[] {
  if (found.length === 0) return ['No dead letters.']
  const rows = found.map((letter) => [
    nameOfMessage(letter),
    letter.destination,
    shorten(letter.target, 40),
    shorten(letter.key ?? '-', 24),
    formatDuration(Date.now() - letter.createdAt.getTime()),
    String(letter.attempts),
    letter.holds === 0 ? '-' : String(letter.holds),
    shorten(letter.lastError ?? '-', 60),
  ])
  return formatTable([['MESSAGE', 'DESTINATION', 'TOPIC', 'KEY', 'AGE', 'FAILED', 'HOLDS BACK', 'LAST ERROR'], ...rows])
}

function summary(name: 'requeue' | 'discard', count: number, dryRun: boolean): string {
  if (count === 0) return 'None of these is a dead letter.'
  const letters = `${count} dead letter${count === 1 ? '' : 's'}`
  return dryRun ? `Would ${name} ${letters}.` : `${name === 'requeue' ? 'Requeued' : 'Discarded'} ${letters}.`
}
