import { Command } from 'commander'
import { addConfigFlags } from './shell/config-flags.ts'
import type { CommandContext } from './shell/context.ts'
import { ExitCode } from './shell/exit-code.ts'

export function devCommand(context: CommandContext): Command {
  return addConfigFlags(new Command('dev'))
    .description('a relay for development, with PostgreSQL and NATS of its own')
    .addHelpText('after', HELP)
    .action(async (_, command: Command) => {
      const undos: (() => unknown)[] = []
      try {
        const { develop } = await import('./dev/develop.ts')
        await develop(context, command, (undo) => undos.push(undo))
      } finally {
        for (const undo of undos.toReversed()) await undo()
      }
      // Not left to the event loop: a NATS server that was never reached is still being tried by its client.
      context.end(ExitCode.Ok)
    })
}

const HELP = `
PostgreSQL is the one of DATABASE_URL or, without it, one that is started here and kept in .postcommit/.
NATS is the one of NATS_URL or, without it, a nats-server that is found on this machine.`
