import { existsSync, mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { launchOnPort } from './launch-on-port.ts'
import { mariadbFor } from './mariadb-binary.ts'
import { createData, errorLines, MARIADB_USER, mariadbArgs, readPassword, temporaryFolder } from './mariadb-data.ts'
import { lockedServer, type ServerLifecycle } from './server-lifecycle.ts'

/** What {@link startMariadb} accepts. */
export interface MariadbOptions {
  /** Where the data is kept; made if it is not there. The password, the log and the lock are kept beside it. */
  readonly dataDir: string
  /** A port of 127.0.0.1. Default: the one of the last start if it is free, else any free one. */
  readonly port?: number
  /** The path of the program. Default: {@link findMariadb}. */
  readonly binary?: string
  /** Server settings, for example `{ 'max-connections': '20' }`. They win over the defaults. */
  readonly settings?: Readonly<Record<string, string>>
  /** Receives what the server writes. Default: `<dataDir>.log`. */
  readonly logFile?: string
}

/** A MariaDB server that was started here. */
export interface MariadbServer extends ServerLifecycle {
  /** Of the database `app`, with the name and the password of its superuser. */
  readonly url: string
  readonly host: string
  readonly port: number
  /** For example `10.11.19`. */
  readonly version: string
  readonly dataDir: string
  readonly logFile: string
}

const HOST = '127.0.0.1'
const DATABASE = 'app'
const STOP_GRACE_MS = 20_000

/**
 * Starts a private MariaDB on 127.0.0.1 that keeps its data between runs.
 *
 * It syncs what it commits, as a server in production does. It ends with the calling process; if that one is killed
 * with SIGKILL it runs on, and the next start in the same folder ends it first. Works as root.
 *
 * @throws PostcommitError POSTCOMMIT_SERVER_NOT_FOUND (see {@link mariadbInstallCommand}), POSTCOMMIT_SERVER_IN_USE,
 * POSTCOMMIT_SERVER_START_FAILED.
 */
export async function startMariadb(options: MariadbOptions): Promise<MariadbServer> {
  const binary = mariadbFor(options.binary)
  const dataDir = resolve(options.dataDir)
  const logFile = resolve(options.logFile ?? `${dataDir}.log`)
  mkdirSync(dirname(dataDir), { recursive: true })
  const settings = Object.entries({ 'performance-schema': 'off', ...options.settings })
  let port = options.port

  const lifecycle = await lockedServer({
    name: 'MariaDB',
    folder: dataDir,
    // SIGTERM is the fast shutdown: sessions are ended, and all that is committed is written out.
    stopSignals: ['SIGTERM', 'SIGQUIT'],
    stopGraceMs: STOP_GRACE_MS,
    launch: async (started) => {
      if (!existsSync(dataDir)) await createData(binary, dataDir, DATABASE)
      mkdirSync(temporaryFolder(dataDir), { recursive: true, mode: 0o700 })
      const command = (candidate: number) => ({
        file: binary.path,
        args: [
          ...mariadbArgs(binary, dataDir),
          ...settings.map(([name, value]) => `--${name}=${value}`),
          '--socket=',
          // Accounts are known by address, and no name server is asked who calls.
          '--skip-name-resolve',
          `--pid-file=${dataDir}.pid`,
          `--bind-address=${HOST}`,
          `--port=${candidate}`,
        ],
        cwd: dirname(dataDir),
        logFile,
        exitSignal: 'SIGTERM' as const,
      })
      // Once it has served on a port it keeps it: clients reconnect to the URL that they were given.
      port = await launchOnPort(
        {
          server: 'MariaDB',
          folder: dataDir,
          command,
          ready: /ready for connections/,
          whyNot: errorLines,
          variable: 'MARIADB_URL',
          started,
        },
        port,
      )
    },
  })
  const served = port ?? 0
  const url = `mysql://${MARIADB_USER}:${readPassword(dataDir)}@${HOST}:${served}/${DATABASE}`
  return Object.assign(lifecycle, { url, host: HOST, port: served, version: binary.version, dataDir, logFile })
}
