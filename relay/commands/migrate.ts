import { Command, InvalidArgumentError, Option } from 'commander'
import type pg from 'pg'
import { PostcommitError } from 'postcommit/protocol'
import { shownJson } from '../engine/error-text.ts'
import { splitShards } from '../store/log/split-shards.ts'
import {
  applyMigrations,
  type Migration,
  type MigrationStatus,
  migrationSql,
  migrationStatus,
  readMigrations,
} from '../store/migrate.ts'
import { addSourceFlags, givenFlags, isGiven } from './shell/config-flags.ts'
import type { CommandContext } from './shell/context.ts'
import { ExitCode } from './shell/exit-code.ts'
import { loadSourceConfig, withClient } from './shell/sources.ts'
import { formatTable } from './shell/table.ts'

interface MigrateOptions {
  readonly status?: boolean
  readonly dryRun?: boolean
  readonly sql?: boolean
  readonly shards?: number
}

export function migrateCommand(context: CommandContext): Command {
  return addSourceFlags(new Command('migrate'))
    .description('brings the schema postcommit of every database up to date')
    .option('--status', 'only say what is applied; ends with 1 if something is missing')
    .option('--dry-run', 'only print the SQL that is missing')
    .option('--sql', 'print the SQL of all migrations and connect to nothing')
    .addOption(
      new Option('--shards <n>', 'cut the log into so many parts, each published by one relay').argParser(parseShards),
    )
    .option('--source <name>', 'only this database')
    .action(async (options: MigrateOptions, command: Command) => {
      if (options.sql === true) return context.out(readMigrations().map(migrationSql).join('\n'))
      const { databases } = loadSourceConfig(context, command).config
      const only = givenFlags(command)['--source']
      if (only !== undefined && databases[only] === undefined) command.error(`error: there is no database ${only}`)
      const results: Migrated[] = []
      for (const [source, { url }] of Object.entries(databases)) {
        if (only === undefined || only === source) results.push(await migrateOne(source, url, options))
      }
      if (options.status === true && results.some(({ pending }) => pending.length > 0)) context.finish(ExitCode.Failed)
      if (isGiven(command, 'json')) return context.out(shownJson({ databases: results }, 2))
      for (const line of results.flatMap((result) => describe(result, options))) context.out(line)
    })
}

interface Migrated {
  readonly source: string
  readonly applied: readonly string[]
  /** Applied by this run. */
  readonly appliedNow: readonly string[]
  readonly pending: readonly string[]
  /** Only of `--dry-run`. */
  readonly sql: string | undefined
  readonly shards: number | undefined
}

async function migrateOne(source: string, url: string, options: MigrateOptions): Promise<Migrated> {
  return withClient(source, url, async (client) => {
    if (options.status === true || options.dryRun === true) {
      const { applied, pending } = await migrationStatus(client, source)
      const sql = options.dryRun === true ? pending.map(migrationSql).join('\n') : undefined
      return { source, applied: names(applied), appliedNow: [], pending: names(pending), sql, shards: undefined }
    }
    const appliedNow = await applyMigrations(client, source)
    const { applied, pending } = await migrationStatus(client, source)
    const shards = options.shards === undefined ? undefined : await cutLog(client, options.shards)
    return {
      source,
      applied: names(applied),
      appliedNow: names(appliedNow),
      pending: names(pending),
      sql: undefined,
      shards,
    }
  })
}

async function cutLog(client: pg.Client, wanted: number): Promise<number> {
  const shards = await splitShards(client, wanted)
  if (shards === wanted) return shards
  throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', {
    function: 'migrate --shards',
    reason: `there are ${shards} shards, of which ${wanted} cannot be made: the number must be a multiple of theirs`,
  })
}

function describe(
  { source, applied, appliedNow, pending, sql, shards }: Migrated,
  options: MigrateOptions,
): readonly string[] {
  if (sql !== undefined) return [sql === '' ? `-- ${source}: nothing is missing` : `-- ${source}\n${sql}`]
  if (options.status === true) {
    const rows = [...applied.map((name) => [name, 'applied']), ...pending.map((name) => [name, 'missing'])]
    return [`Source ${source}`, ...formatTable(rows, '  ')]
  }
  return [
    appliedNow.length === 0
      ? `${source}: up to date at ${applied.at(-1) ?? 'nothing'}`
      : `${source}: applied ${appliedNow.join(', ')}`,
    ...(shards === undefined ? [] : [`${source}: the log has ${shards} shards`]),
  ]
}

function names(migrations: MigrationStatus['applied'] | readonly Migration[]): readonly string[] {
  return migrations.map(({ name }) => name)
}

function parseShards(text: string): number {
  const shards = Number(text)
  if (![1, 2, 4, 8, 16, 32, 64].includes(shards)) throw new InvalidArgumentError('1, 2, 4, 8, 16, 32 or 64.')
  return shards
}
