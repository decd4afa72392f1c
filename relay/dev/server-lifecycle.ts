import { type FolderLock, lockFolder } from './folder-lock.ts'
import type { ServerProcess } from './server-process.ts'

/** What can be done to a server that was started here. */
export interface ServerLifecycle {
  /** The process id of the server; another one after each start. */
  readonly pid: number
  /** Whether the server's process is there. */
  isRunning(): boolean
  /** Starts it again on the same data and port, after {@link stop} or {@link kill}. Ready to serve when it resolves. */
  start(): Promise<void>
  /** An orderly, quick shutdown. Does nothing if it is not running. */
  stop(): Promise<void>
  /** SIGKILL to the server and everything it started: what a crash of the machine leaves. Resolves when all is gone. */
  kill(): Promise<void>
  /** {@link stop} and {@link start}. */
  restart(): Promise<void>
  /** SIGSTOP: it keeps its connections and answers nothing. */
  pause(): void
  /** SIGCONT. */
  resume(): void
  /** {@link stop} when an `await using` block ends. */
  [Symbol.asyncDispose](): Promise<void>
}

/** What differs between one kind of server and another. */
export interface LifecycleOptions {
  /** As it is called in messages. */
  readonly name: string
  /** The folder that only one server at a time may have. */
  readonly folder: string
  /** Starts the program and reports its process as soon as there is one. Resolves when it serves. */
  readonly launch: (started: (process: ServerProcess) => void) => Promise<void>
  /** The signals for an orderly end, the gentlest first. */
  readonly stopSignals: readonly NodeJS.Signals[]
  readonly stopGraceMs: number
}

/** Holds the folder while the server runs and puts its start, end and failures in one place. */
export async function lockedServer(options: LifecycleOptions): Promise<ServerLifecycle> {
  let current: ServerProcess | undefined
  let lock: FolderLock | undefined

  const start = async () => {
    if (current?.isRunning()) return
    const held = lock ?? (await lockFolder(options.folder, options.name))
    lock = held
    try {
      await options.launch((process) => {
        current = process
        held.noteServer(process)
      })
    } catch (error) {
      await end((process) => process.kill())
      throw error
    }
  }
  const end = async (how: (process: ServerProcess) => Promise<void>) => {
    if (current !== undefined) await how(current)
    lock?.release()
    lock = undefined
  }
  const stop = () => end((process) => process.end(options.stopSignals, options.stopGraceMs))

  await start()
  return {
    get pid() {
      return current?.pid ?? 0
    },
    isRunning: () => current?.isRunning() ?? false,
    start,
    stop,
    kill: () => end((process) => process.kill()),
    restart: async () => {
      await stop()
      await start()
    },
    pause: () => current?.signalAll('SIGSTOP'),
    resume: () => current?.signalAll('SIGCONT'),
    [Symbol.asyncDispose]: stop,
  }
}
