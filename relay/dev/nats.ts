import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname, resolve } from 'node:path'
import { PostcommitError } from 'postcommit/protocol'
import { lastOrFreePort, rememberPort } from './last-port.ts'
import { findNatsServer, type NatsBinary, natsInstallCommand, natsVersion } from './nats-binary.ts'
import { lockedServer, type ServerLifecycle } from './server-lifecycle.ts'
import { type ServerProcess, startServerProcess, waitUntil } from './server-process.ts'

/** What {@link startNats} accepts. */
export interface NatsOptions {
  /** Where JetStream keeps its streams; made if it is not there. The log and the lock are kept beside it. */
  readonly storeDir: string
  /** A port of 127.0.0.1. Default: the one of the last start if it is free, else any free one. */
  readonly port?: number
  /** The path of the program. Default: {@link findNatsServer}. */
  readonly binary?: string
  /** More configuration, as text in the server's own language, for example `max_payload: 2MB`. */
  readonly config?: string
  /** Receives what the server writes. Default: `<storeDir>.log`. */
  readonly logFile?: string
}

/** A nats-server that was started here. */
export interface NatsServer extends ServerLifecycle {
  readonly url: string
  readonly host: string
  readonly port: number
  /** For example `2.9.10`. */
  readonly version: string
  readonly storeDir: string
  readonly logFile: string
}

const HOST = '127.0.0.1'
const START_TIMEOUT_MS = 20_000
const STOP_GRACE_MS = 10_000
const ATTEMPTS_MAX = 3
const CONNECT_TIMEOUT_MS = 1000

/**
 * Starts a private nats-server with JetStream on 127.0.0.1 that keeps its streams between runs. Monitoring is off.
 *
 * It ends with the calling process; if that one is killed with SIGKILL it runs on, and the next start in the same
 * folder ends it first.
 *
 * @throws PostcommitError POSTCOMMIT_SERVER_NOT_FOUND (see {@link natsInstallCommand}), POSTCOMMIT_SERVER_IN_USE,
 * POSTCOMMIT_SERVER_START_FAILED.
 */
export async function startNats(options: NatsOptions): Promise<NatsServer> {
  const binary = binaryFor(options.binary)
  const storeDir = resolve(options.storeDir)
  const logFile = resolve(options.logFile ?? `${storeDir}.log`)
  mkdirSync(dirname(storeDir), { recursive: true })
  const configArgs = options.config === undefined ? [] : ['-c', writeConfig(storeDir, options.config)]
  // The same for every start in this folder, and nobody else's.
  const name = `postcommit-${createHash('sha256').update(storeDir).digest('hex').slice(0, 12)}`
  let port = options.port

  const lifecycle = await lockedServer({
    name: 'nats-server',
    folder: storeDir,
    stopSignals: ['SIGTERM'],
    stopGraceMs: STOP_GRACE_MS,
    launch: async (started) => {
      const args = [...configArgs, '-js', '-sd', storeDir, '-a', HOST, '-n', name]
      const launch = { name, storeDir, file: binary.path, args, cwd: dirname(storeDir), logFile, started }
      // Once it has served on a port it keeps it: clients reconnect to the URL that they were given.
      port = await launchNats(launch, port)
    },
  })
  const served = port ?? 0
  const url = `nats://${HOST}:${served}`
  return Object.assign(lifecycle, { url, host: HOST, port: served, version: binary.version, storeDir, logFile })
}

function binaryFor(path: string | undefined): NatsBinary {
  const version = path === undefined ? undefined : natsVersion(path)
  const found = path === undefined ? findNatsServer() : version === undefined ? undefined : { path, version }
  if (found !== undefined) return found
  throw new PostcommitError('POSTCOMMIT_SERVER_NOT_FOUND', {
    server: 'nats-server',
    reason: path === undefined ? 'it is not on PATH' : `${path} is not one that runs here`,
    install: `To install it: ${natsInstallCommand()}`,
  })
}

function writeConfig(storeDir: string, text: string): string {
  const path = `${storeDir}.conf`
  writeFileSync(path, text, { mode: 0o600 })
  return path
}

interface NatsLaunch {
  /** The name the server gives itself. */
  readonly name: string
  readonly storeDir: string
  readonly file: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly logFile: string
  readonly started: (server: ServerProcess) => void
}

/** Launches the server on `port`, or on a free one, and returns it. */
async function launchNats(
  { name, storeDir, started, ...command }: NatsLaunch,
  port: number | undefined,
): Promise<number> {
  for (let attempts = 1; ; attempts += 1) {
    const candidate = port ?? (await lastOrFreePort(storeDir))
    const server = startServerProcess({ ...command, args: [...command.args, '-p', String(candidate)] })
    started(server)
    let isServing = false
    await waitUntil(async () => {
      isServing = await servesJetStream(name, candidate)
      return isServing || !server.isRunning()
    }, START_TIMEOUT_MS)
    if (isServing) {
      rememberPort(storeDir, candidate)
      return candidate
    }
    await server.kill()
    if (port !== undefined || attempts === ATTEMPTS_MAX) {
      throw new PostcommitError('POSTCOMMIT_SERVER_START_FAILED', {
        server: 'nats-server',
        reason: whyNot(server.output()) || `${command.file} ended without a word`,
        log: command.logFile,
        variable: 'NATS_URL',
      })
    }
  }
}

/** What it says is wrong, without the banner and the timestamps around it. */
function whyNot(output: string): string {
  const lines = output.split('\n')
  const errors = lines.filter((line) => /\[(FTL|ERR)\]/.test(line))
  return (errors.length > 0 ? errors : lines.slice(-1)).map((line) => line.replace(/^.*\[(FTL|ERR)\] /, '')).join('; ')
}

/**
 * Every NATS connection begins with the server saying what it is. Its name matters: if the port is taken, the server
 * that has it answers while ours is about to give up.
 */
function servesJetStream(name: string, port: number): Promise<boolean> {
  return new Promise((answer) => {
    const socket = connect({ port, host: HOST, timeout: CONNECT_TIMEOUT_MS })
    let greeting = ''
    const finish = (isServing: boolean) => {
      socket.destroy()
      answer(isServing)
    }
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      greeting += chunk
      if (greeting.includes('\r\n'))
        finish(greeting.includes(`"server_name":"${name}"`) && greeting.includes('"jetstream":true'))
    })
    socket.on('error', () => finish(false))
    socket.on('timeout', () => finish(false))
    socket.on('close', () => answer(false))
  })
}
