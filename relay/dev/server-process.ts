import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { descendantsOf, findProcess, isRunning, type ProcessEntry } from './process-table.ts'

/** How to start a server's program. */
export interface ServerCommand {
  readonly file: string
  readonly args: readonly string[]
  /** The working directory. */
  readonly cwd: string
  /** Receives what the program writes to stdout and stderr. */
  readonly logFile: string
  /** Runs the program as this user and group; only root may. */
  readonly user?: number
  /** What makes it end quickly and in order when the calling process ends. Default SIGINT. */
  readonly exitSignal?: NodeJS.Signals
}

/** A server's program while it runs. */
export interface ServerProcess {
  readonly pid: number
  readonly startedAt: string
  /** What makes it end quickly and in order. */
  readonly exitSignal: NodeJS.Signals
  isRunning(): boolean
  /** Asks with each signal in turn, giving it `graceMs` to work, and at last kills. Returns when all of it is gone. */
  end(signals: readonly NodeJS.Signals[], graceMs: number): Promise<void>
  /** SIGKILL to the program and everything it started. Returns when all of it is gone. */
  kill(): Promise<void>
  /** Sends one signal to the program and everything it started. */
  signalAll(signal: NodeJS.Signals): void
}

/** A server's program that was started by this process. */
export interface StartedServer extends ServerProcess {
  /** What it has written to its log since this start. */
  output(): string
}

const POLL_MS = 5
/** A log that has grown to more than this begins anew at the next start. */
const LOG_BYTES_MAX = 10 * 1024 * 1024

/**
 * Starts a server's program in a session of its own, so that Ctrl-C in a terminal reaches the program that uses the
 * server and not the server itself: the user then decides the order in which the two end.
 *
 * It does not keep the calling process alive, and is ended when that one exits (see {@link endWithThisProcess}).
 */
export function startServerProcess(command: ServerCommand): StartedServer {
  const { logFile } = command
  const isFull = sizeOf(logFile) > LOG_BYTES_MAX
  const log = openSync(logFile, isFull ? 'w' : 'a', 0o600)
  const logStart = sizeOf(logFile)
  let child: ChildProcess
  try {
    child = spawn(command.file, command.args, {
      cwd: command.cwd,
      // A file and not a pipe: a pipe would break, and end some servers half-way, if this process is killed.
      stdio: ['ignore', log, log],
      detached: true,
      ...(command.user === undefined ? {} : { uid: command.user, gid: command.user }),
    })
  } finally {
    closeSync(log)
  }
  // Without a listener, a program that cannot be started ends this process; the caller sees that it is not running.
  child.on('error', () => {})
  child.unref()
  const pid = child.pid ?? 0
  const startedAt = findProcess(pid)?.startedAt ?? ''
  const server = controlProcess({ pid, startedAt }, command.exitSignal)
  const forget = endWithThisProcess(server)
  child.once('exit', forget)
  return { ...server, output: () => readFileSync(logFile).subarray(logStart).toString('utf8').trim() }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

/** Control over a process that may have been started by somebody else. */
export function controlProcess(
  entry: Pick<ProcessEntry, 'pid' | 'startedAt'>,
  // A clean and quick shutdown for PostgreSQL, nats-server and Redis alike; MariaDB does not hear it.
  exitSignal: NodeJS.Signals = 'SIGINT',
): ServerProcess {
  const { pid, startedAt } = entry
  return {
    pid,
    startedAt,
    exitSignal,
    isRunning: () => isRunning(entry),
    signalAll: (signal) => {
      for (const member of [entry, ...descendantsOf(pid)]) send(member, signal)
    },
    kill: async () => {
      // Stopped first, so that it starts no further child between the listing and the killing.
      send(entry, 'SIGSTOP')
      const family = [entry, ...descendantsOf(pid)]
      for (const member of family) send(member, 'SIGKILL')
      await waitUntil(() => !family.some(isRunning), 10_000)
    },
    end: async (signals, graceMs) => {
      const family = [entry, ...descendantsOf(pid)]
      for (const member of family) send(member, 'SIGCONT')
      for (const signal of signals) {
        send(entry, signal)
        if (await waitUntil(() => !isRunning(entry), graceMs)) break
      }
      for (const member of family) send(member, 'SIGKILL')
      await waitUntil(() => !family.some(isRunning), 10_000)
    },
  }
}

/** Polls until `condition` holds or `timeoutMs` have passed; says which. */
export async function waitUntil(condition: () => boolean | Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > end) return false
    await sleep(POLL_MS)
  }
  return true
}

function send(entry: Pick<ProcessEntry, 'pid' | 'startedAt'>, signal: NodeJS.Signals): void {
  // The pid may belong to somebody else by now, and 0 or less would address whole groups of processes.
  if (entry.pid <= 0 || !isRunning(entry)) return
  try {
    process.kill(entry.pid, signal)
  } catch {
    // It ended between the look and the signal.
  }
}

const running = new Set<ServerProcess>()
const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Ends the server when this process exits, normally, by an uncaught error or by a signal. Returns a function that
 * takes it off the list again.
 *
 * Nothing can be done at SIGKILL: the server then runs on until the next start in the same folder ends it.
 */
function endWithThisProcess(server: ServerProcess): () => void {
  if (running.size === 0) {
    process.on('exit', endAll)
    for (const signal of ENDING_SIGNALS) process.on(signal, endAllAndRepeat)
  }
  running.add(server)
  return () => {
    running.delete(server)
    if (running.size > 0) return
    process.off('exit', endAll)
    for (const signal of ENDING_SIGNALS) process.off(signal, endAllAndRepeat)
  }
}

function endAll(): void {
  for (const server of running) {
    server.signalAll('SIGCONT')
    send(server, server.exitSignal)
  }
}

function endAllAndRepeat(signal: NodeJS.Signals): void {
  // Somebody else listens too: that one ends the process in its own time, and 'exit' follows.
  if (process.listenerCount(signal) > 1) return
  endAll()
  process.off(signal, endAllAndRepeat)
  process.kill(process.pid, signal)
}
