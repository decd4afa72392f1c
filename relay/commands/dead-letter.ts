import { hostname, userInfo } from 'node:os'
import { Command } from 'commander'
import { shownJson } from '../engine/error-text.ts'
import { actOnDeadLetters, type DeadLetterAct, type DeadLetterSelection } from '../operators/act-on-dead-letters.ts'
import { formatDuration } from '../operators/duration.ts'
import { nameOfMessage, readMessageName } from '../operators/message-name.ts'
import { deadLetterPage, operatorActPage } from '../operators/read-dead-letters.ts'
import type { DeadLetter } from '../store/delivery/select-dead-letters.ts'
import type { NamedDeadLetter } from '../store/delivery/select-named-dead-letters.ts'
import type { OperatorActRow } from '../store/operator/select-operator-acts.ts'
import { addSourceFlags, isGiven } from './shell/config-flags.ts'
import type { CommandContext } from './shell/context.ts'
import { ExitCode } from './shell/exit-code.ts'
import { type OpenSource, withSources } from './shell/sources.ts'
import { formatTable, shorten } from './shell/table.ts'

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

const PAGE = 1000

export function deadLetterCommand(context: CommandContext): Command {
  return new Command('dead-letter')
    .description('messages that were refused or are out of attempts')
    .addCommand(listCommand(context))
    .addCommand(
      actCommand(context, 'requeue', 'puts dead letters back: due now, in their place in the order of their key'),
    )
    .addCommand(actCommand(context, 'discard', 'gives dead letters up, which lets the messages behind them pass'))
    .addCommand(actsCommand(context))
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

function actCommand(context: CommandContext, name: DeadLetterAct, description: string): Command {
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
  else command.option('--reason <text>', reason, 'the cause is fixed')
  return command.action(async (messages: readonly string[], options: ActOptions, self: Command) => {
    if (messages.length > 0 === (options.all === true)) self.error('error: name the messages, or give --all')
    const selection = selectionOf(messages, options)
    const { actor, reason = '', dryRun = false } = options
    const done = await withSources(context, self, async (sources) => {
      const acted: NamedDeadLetter[] = []
      for (const { pool } of sources) {
        acted.push(...(await actOnDeadLetters(pool, name, selection, { actor, reason, dryRun })).done)
      }
      return acted
    })
    if (done.length === 0) context.finish(ExitCode.Failed)
    if (isGiven(self, 'json')) {
      return context.out(
        shownJson({ [name === 'requeue' ? 'requeued' : 'discarded']: done.map(nameOfMessage), dryRun }, 2),
      )
    }
    for (const letter of done) context.out(nameOfMessage(letter))
    context.out(summary(name, done.length, dryRun))
  })
}

function selectionOf(messages: readonly string[], { all, destination }: ActOptions): DeadLetterSelection {
  return all === true ? { traits: { destination } } : { names: messages.map(readMessageName), destination }
}

async function findAll(
  sources: readonly OpenSource[],
  { destination }: ListOptions,
): Promise<readonly (DeadLetter & { readonly source: string })[]> {
  const found: (DeadLetter & { readonly source: string })[] = []
  for (const { source, pool } of sources) {
    let after: string | undefined
    do {
      const page = await deadLetterPage(pool, { destination }, after, PAGE)
      found.push(...page.deadLetters.map((letter) => ({ source, ...letter })))
      after = page.after ?? undefined
    } while (after !== undefined)
  }
  return found
}

function describe(found: readonly DeadLetter[]): readonly string[] {
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

function summary(name: DeadLetterAct, count: number, dryRun: boolean): string {
  if (count === 0) return 'None of these is a dead letter.'
  const letters = `${count} dead letter${count === 1 ? '' : 's'}`
  return dryRun ? `Would ${name} ${letters}.` : `${name === 'requeue' ? 'Requeued' : 'Discarded'} ${letters}.`
}

/** As many as a screen shows; the API has the pages behind. */
const ACTS_MAX = 100

function actsCommand(context: CommandContext): Command {
  return addSourceFlags(new Command('acts'))
    .description('what operators requeued and discarded, newest first: when, who, how many, why')
    .option('--source <name>', 'only this database')
    .action(async (_, command: Command) => {
      const sources = await withSources(context, command, (opened) =>
        Promise.all(
          opened.map(async ({ source, pool }) => ({ source, ...(await operatorActPage(pool, undefined, ACTS_MAX)) })),
        ),
      )
      if (isGiven(command, 'json')) return context.out(shownJson({ sources }, 2))
      const acts = sources.flatMap((page) => page.acts)
      if (acts.length === 0) return context.out('No dead letter was requeued or discarded.')
      for (const line of formatTable([
        ['TIME', 'ACT', 'MESSAGES', 'OPERATOR', 'WHICH', 'REASON'],
        ...acts.map(rowOfAct),
      ])) {
        context.out(line)
      }
    })
}

function rowOfAct({ at, act, messages, actor, selection, reason }: OperatorActRow): string[] {
  const time = at.toISOString().slice(0, 19).replace('T', ' ')
  return [time, act, String(messages), shorten(actor, 40), shorten(JSON.stringify(selection), 60), shorten(reason, 60)]
}
