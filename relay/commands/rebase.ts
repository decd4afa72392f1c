import { Command, InvalidArgumentError, Option } from 'commander'
import { shownJson } from '../engine/error-text.ts'
import { originOf } from '../engine/whereabouts.ts'
import { parseDuration } from '../operators/duration.ts'
import { rebase } from '../store/log/rebase.ts'
import { selectFormerPlace } from '../store/member/note-whereabouts.ts'
import { requireServableSchema } from '../store/migrate.ts'
import { selectInstallation } from '../store/server/select-installation.ts'
import { selectServerFacts } from '../store/server/select-server-facts.ts'
import { addSourceFlags, givenFlags, isGiven } from './shell/config-flags.ts'
import type { CommandContext } from './shell/context.ts'
import { ExitCode } from './shell/exit-code.ts'
import { loadSourceConfig, withClient } from './shell/sources.ts'

interface RebaseOptions {
  readonly since?: number
}

export function rebaseCommand(context: CommandContext): Command {
  return addSourceFlags(new Command('rebase'))
    .description('makes a log readable that was written elsewhere: a restored dump, a copy, after pg_upgrade')
    .addOption(
      new Option(
        '--since <time>',
        'publish again what was committed within (default: only what was not handed on)',
      ).argParser(parseSince),
    )
    .option('--source <name>', 'which database, if several are configured')
    .action(async ({ since }: RebaseOptions, command: Command) => {
      const { databases } = loadSourceConfig(context, command).config
      const names = Object.keys(databases)
      const source = givenFlags(command)['--source'] ?? (names.length === 1 ? names[0] : undefined)
      const url = source === undefined ? undefined : databases[source]?.url
      if (source === undefined || url === undefined) {
        return command.error(`error: name the database with --source; configured are ${names.join(', ')}`)
      }
      const messages = await withClient(source, url, async (client) => {
        await requireServableSchema(client, source)
        const isHome = originOf(await selectInstallation(client), await selectServerFacts(client)) === undefined
        if (isHome && (await selectFormerPlace(client)) === undefined) return undefined
        return rebase(client, since)
      })
      if (messages === undefined) context.finish(ExitCode.Failed)
      if (isGiven(command, 'json')) context.out(shownJson({ source, messages: messages ?? null }, 2))
      else if (messages === undefined) context.out(`${source}: its log was written here; there is nothing to rebase.`)
      else context.out(`${source}: rebased; ${messages} messages are to be published; relays may be started.`)
    })
}

function parseSince(text: string): number {
  const milliseconds = parseDuration(text)
  if (milliseconds === undefined) throw new InvalidArgumentError('Times are a whole number with ms, s, m, h or d.')
  return milliseconds
}
