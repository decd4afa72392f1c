import { Command, InvalidArgumentError, Option } from 'commander'
import { requireServableSchema } from '../store/migrate.ts'
import { rebase } from '../store/rebase.ts'
import { selectInstallation } from '../store/select-installation.ts'
import { selectServerFacts } from '../store/select-server-facts.ts'
import { addSourceFlags, givenFlags, isGiven } from './config-flags.ts'
import type { CommandContext } from './context.ts'
import { parseDuration } from './duration.ts'
import { ExitCode } from './exit-code.ts'
import { loadSourceConfig, withClient } from './sources.ts'

interface RebaseOptions {
  readonly since?: number
}

const EVERYTHING_MS = 3650 * 86_400_000

export function rebaseCommand(context: CommandContext): Command {
  return addSourceFlags(new Command('rebase'))
    .description('makes the log of a restored dump readable in its new PostgreSQL cluster, and publishes it again')
    .addOption(
      new Option(
        '--since <time>',
        'publish again only what was committed within (default: all that is kept)',
      ).argParser(parseSince),
    )
    .option('--source <name>', 'which database, if several are configured')
    .action(async ({ since = EVERYTHING_MS }: RebaseOptions, command: Command) => {
      const { databases } = loadSourceConfig(context, command).config
      const names = Object.keys(databases)
      const source = givenFlags(command)['--source'] ?? (names.length === 1 ? names[0] : undefined)
      const url = source === undefined ? undefined : databases[source]?.url
      if (source === undefined || url === undefined) {
        return command.error(`error: name the database with --source; configured are ${names.join(', ')}`)
      }
      const messages = await withClient(source, url, async (client) => {
        await requireServableSchema(client, source)
        const { systemIdentifier } = await selectInstallation(client)
        if (systemIdentifier === (await selectServerFacts(client)).systemIdentifier) return undefined
        return rebase(client, since)
      })
      if (messages === undefined) context.finish(ExitCode.Failed)
      if (isGiven(command, 'json')) context.out(JSON.stringify({ source, messages: messages ?? null }, null, 2))
      else if (messages === undefined)
        context.out(`${source}: its log was written by this cluster; there is nothing to rebase.`)
      else context.out(`${source}: rebased ${messages} messages of the log; relays may be started.`)
    })
}

function parseSince(text: string): number {
  const milliseconds = parseDuration(text)
  if (milliseconds === undefined) throw new InvalidArgumentError('Times are a whole number with ms, s, m, h or d.')
  return milliseconds
}
