import type { Command } from 'commander'
import pg from 'pg'
import { PostcommitError } from 'postcommit/protocol'
import { type LoadedConfig, loadConfig } from '../../config/load.ts'
import type { ReadableSource } from '../../operators/readable-source.ts'
import { requireServableSchema } from '../../store/migrate.ts'
import { devServers } from '../dev/facts.ts'
import { givenFlags } from './config-flags.ts'
import type { CommandContext } from './context.ts'

/** A source database that a command reads. */
export interface OpenSource extends ReadableSource {
  readonly url: string
}

const CONNECT_TIMEOUT_MS = 5000
const STATEMENT_TIMEOUT_MS = 60_000
/** A command that waits for a lock says so instead. */
const LOCK_TIMEOUT_MS = 5000

/**
 * The configuration of a command that needs a database. Where none is named, the servers of the `postcommit dev` that
 * runs in this folder are taken.
 * @throws `POSTCOMMIT_INVALID_CONFIG`.
 */
export function loadSourceConfig(context: CommandContext, command: Command): LoadedConfig {
  const inputs = { cwd: context.cwd, env: context.env, flags: givenFlags(command) }
  const loaded = loadConfig(inputs)
  if (Object.keys(loaded.config.databases).length > 0) return loaded
  const decided = devServers(context.cwd)
  if (decided.length === 0) throw noDatabase()
  return loadConfig({ ...inputs, decided })
}

/** The problem of a command that needs a database and finds none named. */
export function noDatabase(): PostcommitError<'POSTCOMMIT_INVALID_CONFIG'> {
  const problems =
    '  - databases: no database is named; set DATABASE_URL, --database-url or databases in postcommit.json'
  return new PostcommitError('POSTCOMMIT_INVALID_CONFIG', { problems })
}

/**
 * Opens the configured databases, or the one that `--source` names, and closes them after `work`.
 * @throws `POSTCOMMIT_DATABASE_UNREACHABLE`, `POSTCOMMIT_MIGRATION_PENDING`, `POSTCOMMIT_SCHEMA_TOO_NEW`.
 */
export async function withSources<T>(
  context: CommandContext,
  command: Command,
  work: (sources: readonly OpenSource[]) => Promise<T>,
): Promise<T> {
  const { databases } = loadSourceConfig(context, command).config
  const opened: OpenSource[] = []
  try {
    for (const source of chosenSources(Object.keys(databases), command)) {
      opened.push(await openSource(source, databases[source]?.url ?? ''))
    }
    for (const { source, pool } of opened) await requireServableSchema(pool, source)
    return await work(opened)
  } finally {
    await Promise.all(opened.map(({ pool }) => pool.end()))
  }
}

/** Opens one database and sees that it answers. */
export async function openSource(source: string, url: string): Promise<OpenSource> {
  const pool = new pg.Pool({
    connectionString: url,
    max: 2,
    application_name: 'postcommit cli',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
  })
  // A connection that is lost while idle is noticed by the next query.
  pool.on('error', () => undefined)
  try {
    await pool.query('select 1')
  } catch (error) {
    await pool.end()
    throw unreachable(source, error)
  }
  return { source, url, pool }
}

/** Connects once, for work that needs a session: locks belong to one. */
export async function withClient<T>(source: string, url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'postcommit cli',
    connectionTimeoutMillis: 5000,
    lock_timeout: LOCK_TIMEOUT_MS,
  })
  client.on('error', () => undefined)
  try {
    await client.connect()
  } catch (error) {
    await client.end().catch(() => undefined)
    throw unreachable(source, error)
  }
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** The error of a database that cannot be connected to. */
function unreachable(database: string, error: unknown): PostcommitError<'POSTCOMMIT_DATABASE_UNREACHABLE'> {
  return new PostcommitError('POSTCOMMIT_DATABASE_UNREACHABLE', { database, reason: reasonOf(error) }, { cause: error })
}

/** What an error says; connecting to a name with several addresses fails with one error for each and no text. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(reasonOf).join(', ')
  return error instanceof Error ? error.message : String(error)
}

function chosenSources(names: readonly string[], command: Command): readonly string[] {
  const chosen = givenFlags(command)['--source']
  if (chosen === undefined) return names
  if (names.includes(chosen)) return [chosen]
  return command.error(`error: there is no database ${chosen}; configured are ${names.join(', ')}`)
}
