import { PostcommitError } from 'postcommit/protocol'
import { freePort } from './free-port.ts'
import { lastOrFreePort, rememberPort } from './last-port.ts'
import { type ServerCommand, type ServerProcess, startServerProcess, waitUntil } from './server-process.ts'

/** A server that says in its log when it serves. */
export interface PortLaunch {
  /** As it is called in messages. */
  readonly server: string
  /** Beside it the port is remembered. */
  readonly folder: string
  readonly command: (port: number) => ServerCommand
  /** What it writes when it serves. */
  readonly ready: RegExp
  /** What it says is wrong, out of all that it has written. */
  readonly whyNot: (output: string) => string
  /** The variable that could name a server that runs already. */
  readonly variable: string
  readonly started: (server: ServerProcess) => void
}

const START_TIMEOUT_MS = 30_000
const ATTEMPTS_MAX = 3

/**
 * Launches the server and returns the port that it serves on. It serves when it has said so itself: on a port that
 * is taken somebody else would answer.
 *
 * @param port - Only this port will do. Without it: the one of the last start, else a free one.
 */
export async function launchOnPort(launch: PortLaunch, port: number | undefined): Promise<number> {
  let candidate = port ?? (await lastOrFreePort(launch.folder))
  for (let attempts = 1; ; attempts += 1) {
    const command = launch.command(candidate)
    const server = startServerProcess(command)
    launch.started(server)
    const isServing = () => server.isRunning() && launch.ready.test(server.output())
    await waitUntil(() => isServing() || !server.isRunning(), START_TIMEOUT_MS)
    if (isServing()) {
      rememberPort(launch.folder, candidate)
      return candidate
    }
    await server.kill()
    // A port that was free when it was chosen may be taken by now.
    if (port !== undefined || attempts === ATTEMPTS_MAX) {
      throw new PostcommitError('POSTCOMMIT_SERVER_START_FAILED', {
        server: launch.server,
        reason: launch.whyNot(server.output()) || `${command.file} ended without a word`,
        log: command.logFile,
        variable: launch.variable,
      })
    }
    candidate = await freePort()
  }
}
