import type { Command } from 'commander'
import type { CommandContext } from './context.ts'
import { loadSourceConfig, type OpenSource, withSources } from './sources.ts'

/**
 * Opens the database that holds global transactions: the one that `--source` or `coordinator.database` names, or the
 * only one.
 * @throws as `withSources`.
 */
export function withCoordinator<T>(
  context: CommandContext,
  command: Command,
  work: (source: OpenSource) => Promise<T>,
): Promise<T> {
  const { database } = loadSourceConfig(context, command).config.coordinator
  return withSources(context, command, (sources) => {
    const [only] = sources.length === 1 ? sources : sources.filter(({ source }) => source === database)
    if (only === undefined) command.error('error: name the database with --source, or set coordinator.database')
    return work(only)
  })
}
