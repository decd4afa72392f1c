import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { PostcommitError } from 'postcommit/protocol'
import { freePort } from './free-port.ts'
import { lastOrFreePort, rememberPort } from './last-port.ts'
import type { PostgresAccount } from './postgres-account.ts'
import { clearStalePidFile, isReady } from './postgres-data.ts'
import { type ServerProcess, startServerProcess, waitUntil } from './server-process.ts'

export const POSTGRES_HOST = '127.0.0.1'

/** How to launch PostgreSQL on data that exists. */
export interface PostgresLaunch {
  readonly account: PostgresAccount
  readonly settings: Readonly<Record<string, string>>
  readonly logFile: string
  readonly started: (server: ServerProcess) => void
}

const START_TIMEOUT_MS = 60_000
const ATTEMPTS_MAX = 5
const RETRY_MS = 500

/**
 * Launches the server and returns the port that it serves on.
 *
 * @param port - Only this port will do. Without it: the one of the last start, else a free one.
 */
export async function launchPostgres(launch: PostgresLaunch, port: number | undefined): Promise<number> {
  const { dataDir } = launch.account
  clearStalePidFile(dataDir)
  let candidate = port ?? (await lastOrFreePort(dataDir))
  for (let attempts = 1; ; attempts += 1) {
    const failure = await launchOnce(launch, candidate)
    if (failure === undefined) break
    // A killed server may still be in the process table, and its sessions busy with their last statement: they hold its
    // pid file and its shared memory for a moment.
    const isHeldBack = /shared memory block|lock file "postmaster\.pid" already exists/.test(failure)
    // A port that was free when it was chosen may be taken by now.
    const isPortTaken = failure.includes('Address already in use')
    if (attempts === ATTEMPTS_MAX || !(isHeldBack || (isPortTaken && port === undefined))) {
      throw new PostcommitError('POSTCOMMIT_SERVER_START_FAILED', {
        server: 'PostgreSQL',
        reason: whyNot(failure),
        log: launch.logFile,
        variable: 'DATABASE_URL',
      })
    }
    if (isPortTaken) candidate = await freePort()
    else await sleep(RETRY_MS)
  }
  rememberPort(dataDir, candidate)
  return candidate
}

/** Returns why it did not start, or undefined if it serves. */
async function launchOnce(launch: PostgresLaunch, port: number): Promise<string | undefined> {
  const { binaries, dataDir, user } = launch.account
  const settings = { unix_socket_directories: '', ...launch.settings, listen_addresses: POSTGRES_HOST, port: `${port}` }
  const { file, args } = launch.account.command(binaries.postgres, [
    '-D',
    dataDir,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ])
  const runsAs = user === undefined ? {} : { user }
  const server = startServerProcess({ file, args, cwd: dirname(dataDir), logFile: launch.logFile, ...runsAs })
  launch.started(server)
  await waitUntil(() => isReady(dataDir, server.pid) || !server.isRunning(), START_TIMEOUT_MS)
  if (server.isRunning() && isReady(dataDir, server.pid)) return undefined
  await server.kill()
  return server.output() || `${file} ended without a word`
}

/** What it says is wrong, without the timestamps and the progress messages around it. */
function whyNot(output: string): string {
  const lines = output.split('\n').filter((line) => /could not|FATAL|PANIC|HINT/.test(line))
  return lines.length > 0 ? lines.map((line) => line.replace(/^.*?\] /, '')).join('; ') : output
}

/** Creates the database unless it is there. */
export async function createDatabase(maintenanceUrl: string, name: string): Promise<void> {
  const client = new pg.Client({ connectionString: maintenanceUrl })
  await client.connect()
  try {
    const found = await client.query('select from pg_database where datname = $1', [name])
    if (found.rowCount === 0) await client.query(`create database ${pg.escapeIdentifier(name)}`)
  } finally {
    await client.end()
  }
}
