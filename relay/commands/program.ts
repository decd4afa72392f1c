import { Command, CommanderError } from 'commander'
import { PostcommitError } from 'postcommit/protocol'
import { escapeUnshowable } from '../engine/error-text.ts'
import { maskAddresses } from '../observe/mask-addresses.ts'
import { RELAY_VERSION } from '../version.ts'
import { apiKeyCommand } from './api-key.ts'
import { auditCommand } from './audit.ts'
import { cacheCommand } from './cache.ts'
import { checkConfigCommand } from './check-config.ts'
import { deadLetterCommand } from './dead-letter.ts'
import { devCommand } from './dev.ts'
import { doctorCommand } from './doctor.ts'
import { inspectCommand } from './inspect.ts'
import { listCommand } from './list.ts'
import { migrateCommand } from './migrate.ts'
import { rebaseCommand } from './rebase.ts'
import { runCommand } from './run.ts'
import type { CommandContext } from './shell/context.ts'
import { ExitCode, exitCodeOf } from './shell/exit-code.ts'
import { reasonOf } from './shell/sources.ts'
import { statusCommand } from './status.ts'
import { tailCommand } from './tail.ts'
import { inDoubtCommand, transactionCommand } from './transaction.ts'

const COMMANDS = [
  devCommand,
  runCommand,
  migrateCommand,
  statusCommand,
  listCommand,
  inspectCommand,
  tailCommand,
  deadLetterCommand,
  transactionCommand,
  inDoubtCommand,
  cacheCommand,
  apiKeyCommand,
  checkConfigCommand,
  doctorCommand,
  auditCommand,
  rebaseCommand,
]

/**
 * Runs the command that `args` names. Never throws: what goes wrong is said in a sentence, without a stack trace, and
 * ends with one of {@link ExitCode}.
 */
export async function runProgram(args: readonly string[], given: CommandContext): Promise<void> {
  const context = withoutSurprises(given)
  try {
    await createProgram(context).parseAsync(args, { from: 'user' })
  } catch (error) {
    context.finish(report(error, args, context))
  }
}

/** What commands say of rows, of answers and of errors was written by others; nothing of it is for a terminal to obey. */
function withoutSurprises(context: CommandContext): CommandContext {
  return {
    ...context,
    out: (line) => context.out(escapeUnshowable(line)),
    err: (line) => context.err(escapeUnshowable(line)),
  }
}

/** All commands, not run yet. */
export function createProgram(context: CommandContext): Command {
  const program = new Command('postcommit')
    .description('What must happen after a database commit, happens.')
    .version(RELAY_VERSION, '--version', 'print the version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.out(text.trimEnd()),
      writeErr: (text) => context.err(text.trimEnd()),
    })
  for (const command of COMMANDS) adopt(program, command(context))
  return program
}

/** Commands made apart from the program take its way to end and to write only if they are told to. */
function adopt(program: Command, command: Command): void {
  program.addCommand(inherit(command, program))
}

function inherit(command: Command, parent: Command): Command {
  command.copyInheritedSettings(parent)
  for (const sub of command.commands) inherit(sub, command)
  return command
}

function report(error: unknown, args: readonly string[], context: CommandContext): ExitCode {
  // Commander has written its own sentence by now; asking for help is not an error.
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.Ok : ExitCode.Usage
  const code = exitCodeOf(error)
  const text = maskAddresses(reasonOf(error))
  if (args.includes('--json')) {
    const known = error instanceof PostcommitError ? { code: error.code, action: error.action } : {}
    context.err(JSON.stringify({ error: { ...known, message: text } }))
  } else {
    context.err(`postcommit: ${text}`)
  }
  if (args.includes('--verbose')) context.err(maskAddresses(stackOf(error)))
  return code
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `\ncaused by ${stackOf(error.cause)}`
  return `${error.stack ?? error.message}${cause}`
}
