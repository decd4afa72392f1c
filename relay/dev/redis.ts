import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { launchOnPort } from './launch-on-port.ts'
import { redisFor } from './redis-binary.ts'
import { lockedServer, type ServerLifecycle } from './server-lifecycle.ts'

/** What {@link startRedis} accepts. */
export interface RedisOptions {
  /** Where the data is kept; made if it is not there. The password, the log and the lock are kept beside it. */
  readonly dataDir: string
  /** A port of 127.0.0.1. Default: the one of the last start if it is free, else any free one. */
  readonly port?: number
  /** The path of the program. Default: {@link findRedisServer}. */
  readonly binary?: string
  /** Server settings, for example `{ maxmemory: '64mb' }`. They win over the defaults. */
  readonly settings?: Readonly<Record<string, string>>
  /** Receives what the server writes. Default: `<dataDir>.log`. */
  readonly logFile?: string
}

/** A redis-server that was started here. */
export interface RedisServer extends ServerLifecycle {
  /** Of database 0, with the password. */
  readonly url: string
  readonly host: string
  readonly port: number
  /** For example `7.0.15`. */
  readonly version: string
  readonly dataDir: string
  readonly logFile: string
}

const HOST = '127.0.0.1'
const STOP_GRACE_MS = 10_000

/**
 * Starts a private Redis (7 or newer) on 127.0.0.1 that keeps its data between runs: every write is synced before it is
 * answered.
 *
 * It ends with the calling process; if that one is killed with SIGKILL it runs on, and the next start in the same
 * folder ends it first.
 *
 * @throws PostcommitError POSTCOMMIT_SERVER_NOT_FOUND (see {@link redisInstallCommand}), POSTCOMMIT_SERVER_IN_USE,
 * POSTCOMMIT_SERVER_START_FAILED.
 */
export async function startRedis(options: RedisOptions): Promise<RedisServer> {
  const binary = redisFor(options.binary)
  const dataDir = resolve(options.dataDir)
  const logFile = resolve(options.logFile ?? `${dataDir}.log`)
  mkdirSync(dataDir, { recursive: true })
  const password = passwordOf(dataDir)
  const settings = { appendonly: 'yes', appendfsync: 'always', save: '', ...options.settings }
  let port = options.port

  const lifecycle = await lockedServer({
    name: 'redis-server',
    folder: dataDir,
    stopSignals: ['SIGTERM'],
    stopGraceMs: STOP_GRACE_MS,
    launch: async (started) => {
      const command = (candidate: number) => ({
        file: binary.path,
        args: [writeConfig(dataDir, { ...settings, requirepass: password, bind: HOST, port: `${candidate}` })],
        // It keeps its data in the folder that it runs in.
        cwd: dataDir,
        logFile,
      })
      // Once it has served on a port it keeps it: clients reconnect to the URL that they were given.
      port = await launchOnPort(
        {
          server: 'redis-server',
          folder: dataDir,
          command,
          ready: /Ready to accept connections/,
          whyNot,
          variable: 'REDIS_URL',
          started,
        },
        port,
      )
    },
  })
  const served = port ?? 0
  const url = `redis://:${password}@${HOST}:${served}/0`
  return Object.assign(lifecycle, { url, host: HOST, port: served, version: binary.version, dataDir, logFile })
}

/** In a file that only its owner may read: arguments are seen by everybody on the machine. */
function writeConfig(dataDir: string, settings: Readonly<Record<string, string>>): string {
  const path = `${dataDir}.conf`
  // Its command line must stay as it is: it shows whose folder this is.
  const lines = Object.entries({ ...settings, 'set-proc-title': 'no', daemonize: 'no' })
  writeFileSync(path, lines.map(([name, value]) => `${name} ${JSON.stringify(value)}\n`).join(''), { mode: 0o600 })
  return path
}

function passwordOf(dataDir: string): string {
  const path = `${dataDir}.password`
  if (!existsSync(path)) writeFileSync(path, `${randomBytes(18).toString('base64url')}\n`, { mode: 0o600 })
  return readFileSync(path, 'utf8').trim()
}

/** What it says is wrong, without the banner and the progress messages around it. */
function whyNot(output: string): string {
  const lines = output.split('\n')
  const wrong = lines.filter((line) => / # |FATAL|\*\*\*|^>>>/.test(line) && !/oO0Oo|overcommit/.test(line))
  return (wrong.length > 0 ? wrong : lines.slice(-2)).map((line) => line.replace(/^.* # (Warning: )?/, '')).join('; ')
}
