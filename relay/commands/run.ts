import { Command } from 'commander'
import { loadConfig } from '../config/load.ts'
import { RELAY_VERSION } from '../version.ts'
import { addConfigFlags, givenFlags } from './shell/config-flags.ts'
import type { CommandContext } from './shell/context.ts'
import { ExitCode } from './shell/exit-code.ts'
import { noDatabase } from './shell/sources.ts'

export function runCommand(context: CommandContext): Command {
  return addConfigFlags(new Command('run'))
    .description('the relay: publishes and calls what services have committed, until it is told to stop')
    .action(async (_, command: Command) => {
      const { config } = loadConfig({ cwd: context.cwd, env: context.env, flags: givenFlags(command) })
      if (Object.keys(config.databases).length === 0) throw noDatabase()
      const [{ createLog }, { DEFAULT_NAME, startDaemon }] = await Promise.all([
        import('../observe/log.ts'),
        import('./daemon.ts'),
      ])
      const log = createLog({ name: config.name ?? DEFAULT_NAME, ...config.log })
      const stop = context.stopSignal()
      const daemon = await startDaemon(config, context.cwd, log)
      log.info({ version: RELAY_VERSION, databases: Object.keys(config.databases) }, 'relay started')
      await untilAborted(stop)
      log.info('stopping')
      const inTime = await daemon.stop()
      if (inTime) log.info('stopped')
      else log.error('stopped before everything in flight was settled; it will be delivered again')
      // Not left to the event loop: a NATS server that was never reached is still being tried by its client.
      context.end(inTime ? ExitCode.Ok : ExitCode.Failed)
    })
}

/** Resolves when the signal is aborted. */
function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
