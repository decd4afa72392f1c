import { hostname, userInfo } from 'node:os'
import { Command, Option } from 'commander'
import { PostcommitError, parseGid, TransactionMode, TransactionStatus } from 'postcommit/protocol'
import { shownJson } from '../engine/error-text.ts'
import {
  type Acted,
  actOnTransaction,
  RESOLUTIONS,
  type Resolution,
  type TransactionAct,
} from '../operators/act-on-transaction.ts'
import type { ShownTransaction } from '../operators/read-transactions.ts'
import { describeStory } from './describe-transaction.ts'
import { addSourceFlags, isGiven } from './shell/config-flags.ts'
import type { CommandContext } from './shell/context.ts'
import { withCoordinator } from './shell/coordinator-source.ts'
import { ExitCode } from './shell/exit-code.ts'
import { addPageOptions, type PageOptions, showPage } from './shell/transaction-pages.ts'

interface ActOptions {
  readonly tenant: string
  readonly reason: string
  readonly actor: string
  readonly as?: Resolution
}

export function transactionCommand(context: CommandContext): Command {
  return new Command('transaction')
    .description('global transactions: two-phase messages and sagas')
    .addCommand(listCommand(context))
    .addCommand(showCommand(context))
    .addCommand(resolveCommand(context))
    .addCommand(actCommand(context, 'pause', 'stops a transaction where it stands, until it is resumed'))
    .addCommand(actCommand(context, 'resume', 'lets a paused transaction go on'))
    .addCommand(actCommand(context, 'retry', 'makes a transaction due now, instead of when its pause is over'))
}

export function inDoubtCommand(context: CommandContext): Command {
  return addPageOptions(new Command('in-doubt'))
    .description('prepared messages that are past their check time and still undecided, with the reason')
    .action((options: PageOptions, command: Command) => showPage(context, command, options, { inDoubt: true }))
}

function listCommand(context: CommandContext): Command {
  return addPageOptions(new Command('list'))
    .description('transactions, newest first')
    .addOption(new Option('--status <status>', 'only of this status').choices(Object.values(TransactionStatus)))
    .addOption(new Option('--mode <mode>', 'only of this mode').choices(Object.values(TransactionMode)))
    .option('--paused', 'only those that a person has paused')
    .action(
      (
        options: PageOptions & {
          readonly status?: TransactionStatus
          readonly mode?: TransactionMode
          readonly paused?: boolean
        },
        command: Command,
      ) => {
        const { status, mode, paused } = options
        return showPage(context, command, options, {
          ...(status !== undefined && { statuses: [status] }),
          ...(mode !== undefined && { mode }),
          ...(paused !== undefined && { paused }),
        })
      },
    )
}

function showCommand(context: CommandContext): Command {
  return addNamed(new Command('show'))
    .description('one transaction: its branches, their attempts, and what operators did')
    .action(async (text: string, { tenant }: { readonly tenant: string }, command: Command) => {
      const gid = parseGid(text)
      // Kysely takes longer to load than everything else a command needs.
      const { transactionStory } = await import('../operators/read-transactions.ts')
      const story = await withCoordinator(context, command, ({ pool }) => transactionStory(pool, { tenant, gid }))
      if (story === undefined) throw new PostcommitError('POSTCOMMIT_UNKNOWN_TRANSACTION', { gid }, { gid })
      print(context, command, story, describeStory)
    })
}

function resolveCommand(context: CommandContext): Command {
  return addAct(new Command('resolve'))
    .description('decides a transaction whose service can no longer answer')
    .addOption(
      new Option('--as <outcome>', 'committed or aborted, as a back-query would say; or an end by force')
        .choices(RESOLUTIONS)
        .makeOptionMandatory(),
    )
    .action((text: string, options: ActOptions, command: Command) =>
      act(context, command, text, options, { resolve: options.as ?? 'aborted' }),
    )
}

function actCommand(context: CommandContext, name: TransactionAct & string, description: string): Command {
  return addAct(new Command(name))
    .description(description)
    .action((text: string, options: ActOptions, command: Command) => act(context, command, text, options, name))
}

function addNamed(command: Command): Command {
  return addSourceFlags(command)
    .argument('<gid>', 'which transaction')
    .option('--tenant <name>', 'whose transaction', '')
    .option('--source <name>', 'only this database')
}

function addAct(command: Command): Command {
  return addNamed(command)
    .requiredOption('--reason <text>', 'why, for the record')
    .option('--actor <name>', 'who does it, for the record', `${userInfo().username}@${hostname()}`)
}

async function act(
  context: CommandContext,
  command: Command,
  text: string,
  { tenant, reason, actor }: ActOptions,
  what: TransactionAct,
): Promise<void> {
  const key = { tenant, gid: parseGid(text) }
  const acted = await withCoordinator(context, command, ({ pool }) =>
    actOnTransaction(pool, key, what, { actor, reason }),
  )
  if (!acted.changed) context.finish(ExitCode.Failed)
  print(context, command, acted, describeActed)
}

function describeActed({ gid, status, changed }: Acted): readonly string[] {
  return [changed ? `${gid} is ${status}.` : `Nothing to do: ${gid} is ${status}, and so it was.`]
}

function print<T extends Acted | ShownTransaction>(
  context: CommandContext,
  command: Command,
  value: T,
  describe: (value: T) => readonly string[],
): void {
  if (isGiven(command, 'json')) context.out(shownJson(value, 2))
  else for (const line of describe(value)) context.out(line)
}
