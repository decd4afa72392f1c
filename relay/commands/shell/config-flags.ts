import { type Command, Option } from 'commander'
import type { NamedTexts } from '../../config/layers.ts'
import { CONFIG_OPTIONS, type ConfigOption } from '../../config/options.ts'

/** The flags of every command that has to do with a database. */
export function addSourceFlags(command: Command): Command {
  return command
    .option('--config <file>', 'configuration file (default: postcommit.json)')
    .option('--database-url <url>', 'the one database, instead of those configured')
    .option('--json', 'print one JSON document')
    .option('--verbose', 'show what caused an error')
}

/** A flag for every option of the configuration that is no secret. */
export function addConfigFlags(command: Command): Command {
  addSourceFlags(command)
  command.optionsGroup('Configuration (docs/configuration.md):')
  for (const option of CONFIG_OPTIONS) {
    if (option.flag === undefined) continue
    command.addOption(new Option(`${option.flag} <${valueName(option)}>`, option.description))
  }
  return command
}

/** What was given on the command line, by flag. */
export function givenFlags(command: Command): NamedTexts {
  const given = command.options.map((option): [string, unknown] => [
    option.long ?? '',
    command.getOptionValue(option.attributeName()),
  ])
  return Object.fromEntries(given.filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}

/** Whether a flag without a value was given. */
export function isGiven(command: Command, attribute: 'json' | 'verbose'): boolean {
  return command.getOptionValue(attribute) === true
}

function valueName({ kind }: ConfigOption): string {
  switch (kind) {
    case 'integer':
      return 'n'
    case 'boolean':
      return 'true|false'
    case 'list':
      return 'a,b'
    case 'json':
      return 'json'
    case 'string':
      return 'text'
  }
}
