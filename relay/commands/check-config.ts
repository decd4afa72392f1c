import { Command } from 'commander'
import { loadConfig } from '../config/load.ts'
import { maskConfig } from '../config/mask.ts'
import { CONFIG_SCHEMA } from '../config/options.ts'
import { addConfigFlags, givenFlags, isGiven } from './shell/config-flags.ts'
import type { CommandContext } from './shell/context.ts'
import { ExitCode } from './shell/exit-code.ts'
import { noDatabase } from './shell/sources.ts'
import { formatTable } from './shell/table.ts'

interface CheckConfigOptions {
  readonly schema?: boolean
}

export function checkConfigCommand(context: CommandContext): Command {
  return addConfigFlags(
    new Command('check-config')
      .description('every value of the configuration, where it came from, and no secret; connects to nothing')
      .option('--schema', 'print the JSON Schema of postcommit.json instead, for editors'),
  ).action((options: CheckConfigOptions, command: Command) => {
    if (options.schema === true) return context.out(JSON.stringify(withSchemaKey(), null, 2))
    const loaded = loadConfig({ cwd: context.cwd, env: context.env, flags: givenFlags(command) })
    const incomplete = Object.keys(loaded.config.databases).length === 0
    if (incomplete) context.finish(ExitCode.Usage)
    const values = maskConfig(loaded.config).map(({ path, name, value }) => ({
      name,
      value,
      source: loaded.sourceOf(path),
    }))
    if (isGiven(command, 'json')) {
      return context.out(JSON.stringify({ file: loaded.file ?? null, values }, null, 2))
    }
    context.out(loaded.file === undefined ? 'No postcommit.json here.' : `File: ${loaded.file}`)
    for (const line of formatTable(values.map(({ name, value, source }) => [name, show(value), source])))
      context.out(line)
    if (incomplete) context.err(noDatabase().message)
  })
}

/** With the key by which a file names its schema. */
function withSchemaKey() {
  return { ...CONFIG_SCHEMA, properties: { $schema: { type: 'string' }, ...CONFIG_SCHEMA.properties } }
}

function show(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
