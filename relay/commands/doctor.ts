import { Command } from 'commander'
import { shownJson } from '../engine/error-text.ts'
import type { Check } from './doctor/check.ts'
import { addConfigFlags, isGiven } from './shell/config-flags.ts'
import type { CommandContext } from './shell/context.ts'
import { ExitCode } from './shell/exit-code.ts'
import { loadSourceConfig } from './shell/sources.ts'
import { formatTable } from './shell/table.ts'

export function doctorCommand(context: CommandContext): Command {
  return addConfigFlags(new Command('doctor'))
    .description('looks at everything that a relay depends on and says what to do about it; changes nothing')
    .action(async (_, command: Command) => {
      const { config } = loadSourceConfig(context, command)
      const { diagnose } = await import('./doctor/diagnose.ts')
      const { checks, reachable } = await diagnose(config, context.cwd)
      if (!reachable) context.finish(ExitCode.Unreachable)
      else if (checks.some(({ status }) => status === 'fail')) context.finish(ExitCode.Failed)
      if (isGiven(command, 'json')) context.out(shownJson({ checks }, 2))
      else for (const line of describe(checks)) context.out(line)
    })
}

function describe(checks: readonly Check[]): readonly string[] {
  const rows = formatTable(checks.map(({ status, about, name, detail }) => [status, about, name, detail]))
  const lines = checks.flatMap(({ action }, index) => [
    rows[index] ?? '',
    ...(action === undefined ? [] : [`      → ${action}`]),
  ])
  const count = (status: Check['status']) => checks.filter((check) => check.status === status).length
  return [...lines, `${count('ok')} ok, ${count('warn')} to know, ${count('fail')} to fix`]
}
