import { type ChildProcess, spawn } from 'node:child_process'
import { type EventEmitter, once } from 'node:events'
import { createWriteStream, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

/** Environment variables. */
export type Environment = Readonly<Record<string, string>>

/** How to start a program of the shop. */
export interface ProgramOptions {
  /** What it is called in timelines. */
  readonly name: string
  readonly file: string
  /** A module that is loaded before it. */
  readonly preload: string
  readonly args?: readonly string[]
  /** Added to this process's environment. */
  readonly env: Environment
  /** What it writes when it is ready to serve. */
  readonly ready: RegExp
  /** Receives what it writes. */
  readonly logFile: string
}

/** A program that can be started again after its end, as often as one likes. */
export interface Program {
  readonly name: string
  isRunning(): boolean
  /** Starts it, for this one time with more environment; resolves when it is ready. */
  start(env?: Environment): Promise<void>
  /** Sends a signal, default SIGKILL, and resolves when it has ended. */
  end(signal?: NodeJS.Signals): Promise<void>
  /** SIGSTOP: it keeps its connections and does nothing. */
  pause(): void
  /** SIGCONT */
  resume(): void
  /** Resolves with the signal or the exit code when the one that runs now has ended. */
  ended(): Promise<NodeJS.Signals | number>
  /** What all its runs have written, line by line. */
  readonly lines: readonly string[]
}

const READY_TIMEOUT_MS = 60_000

/** A program as a child process, which ends with this one. */
export function createProgram(options: ProgramOptions): Program {
  mkdirSync(dirname(options.logFile), { recursive: true })
  const log = createWriteStream(options.logFile, { flags: 'a' })
  const lines: string[] = []
  let child: ChildProcess | undefined
  let ending: Promise<NodeJS.Signals | number> = Promise.resolve(0)

  async function start(env: Environment = {}): Promise<void> {
    if (child !== undefined) throw new Error(`${options.name} is running`)
    const started = spawnWithPreload(options, env)
    child = started
    ending = new Promise((resolve) => {
      started.once('exit', (code, signal) => {
        child = undefined
        resolve(signal ?? code ?? 1)
      })
    })
    for (const stream of [started.stdout, started.stderr]) {
      if (stream === null) continue
      createInterface({ input: stream }).on('line', (line) => {
        lines.push(line)
        log.write(`${line}\n`)
        if (options.ready.test(line)) started.emit('ready')
      })
    }
    await untilReady(started, (what) => `${options.name} ${what}:\n${lines.slice(-20).join('\n')}`)
  }

  return {
    name: options.name,
    lines,
    isRunning: () => child !== undefined,
    start,
    async end(signal = 'SIGKILL') {
      child?.kill(signal)
      await ending
    },
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    ended: () => ending,
  }
}

async function untilReady(child: EventEmitter, describe: (what: string) => string): Promise<void> {
  const settled = new AbortController()
  const { signal } = settled
  try {
    await Promise.race([
      once(child, 'ready', { signal }),
      // Not 'exit': the last lines, which say why, come after it.
      once(child, 'close', { signal }).then(() => Promise.reject(new Error(describe('ended before it was ready')))),
      sleep(READY_TIMEOUT_MS, undefined, { signal }).then(() =>
        Promise.reject(new Error(describe('was not ready in time'))),
      ),
    ])
  } finally {
    settled.abort()
  }
}

function spawnWithPreload({ preload, file, args = [], env }: ProgramOptions, more: Environment): ChildProcess {
  return spawn(process.execPath, ['--import', preload, file, ...args], {
    env: { ...ownEnvironment(), ...env, ...more },
    // The fourth is the line on which a preloaded program hears of our end.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // Ctrl-C is for us: we say who ends, and in which order.
    detached: true,
  })
}

/** Without what configures relays: a variable that was set for another one would win over the shop's file. */
function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('POSTCOMMIT_')))
}
