import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/**
 * A process of its own for a contender, as it would be in production: its memory and its processor time are its own,
 * and no other contender's code has warmed or littered its heap. What it is asked and answers is plain JSON.
 */
export interface Worker<Commands extends CommandTable> {
  call<Name extends keyof Commands & string>(
    name: Name,
    ...args: Parameters<Commands[Name]>
  ): Promise<Awaited<ReturnType<Commands[Name]>>>
  /** Starts to watch memory and the event loop anew. */
  watch(): Promise<void>
  /** What was seen since {@link watch}. */
  usage(): Promise<Usage>
  /** Stops it in its tracks, or lets it go on: SIGSTOP, SIGCONT. */
  signal(signal: NodeJS.Signals): void
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** What a worker can be asked. Arguments and answers must survive JSON. */
// biome-ignore lint/suspicious/noExplicitAny: the widest function type there is; Parameters<> makes it narrow again
export type CommandTable = Record<string, (...args: any[]) => unknown>

/** What a process used while it was watched. */
export interface Usage {
  readonly rssMb: Readonly<{ first: number; max: number; last: number }>
  readonly cpuMs: number
  readonly eventLoopDelayMs: Readonly<{ p50: number; p99: number; max: number }>
}

/** What goes back and forth. */
export type Request = { readonly id: number; readonly name: string; readonly args: readonly unknown[] }
export type Reply = { readonly id: number; readonly result?: unknown; readonly error?: string }

/** The names that every worker answers beside its own. */
export const BUILT_IN = { watch: '$watch', usage: '$usage', stop: '$stop', ready: '$ready' } as const

const STOP_MS = 10_000

/** Everything that runs, with the promise of its end. */
const running = new Map<ChildProcess, Promise<unknown>>()

// A worker ends by itself when this process is gone, but not one that was stopped (SIGSTOP) or never comes to look.
process.on('exit', () => {
  for (const child of running.keys()) child.kill('SIGKILL')
})

/** Kills the workers that are left, where nothing waits for them any more. */
export async function killWorkers(): Promise<void> {
  const left = [...running]
  for (const [child] of left) child.kill('SIGKILL')
  await Promise.all(left.map(([, ended]) => ended))
}

/**
 * Starts a program of `test/bench/workers`.
 *
 * @param file - its name without the ending
 * @param config - what its `serve` receives
 */
export async function startWorker<Commands extends CommandTable>(
  file: string,
  config: unknown,
): Promise<Worker<Commands>> {
  const path = fileURLToPath(new URL(`workers/${file}.ts`, import.meta.url))
  const child = fork(path, [JSON.stringify(config)], { execArgv: ['--import', 'tsx'], stdio: ['ignore', 2, 2, 'ipc'] })
  const open = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  let next = 1
  child.on('message', ({ id, result, error }: Reply) => {
    const call = open.get(id)
    open.delete(id)
    if (error === undefined) call?.resolve(result)
    else call?.reject(new Error(`${file}: ${error}`))
  })
  const ended = once(child, 'exit').then(([code, signal]) => {
    running.delete(child)
    for (const { reject } of open.values()) reject(new Error(`${file} ended by ${signal ?? `exit ${code}`}`))
    open.clear()
  })
  running.set(child, ended)
  const ask = (id: number, name: string, args: readonly unknown[]) =>
    new Promise<unknown>((resolve, reject) => {
      if (!child.connected) return reject(new Error(`${file} has ended`))
      open.set(id, { resolve, reject })
      if (name !== BUILT_IN.ready) child.send({ id, name, args } satisfies Request)
    })
  const call = (name: string, ...args: readonly unknown[]) => ask(next++, name, args)
  async function stop(): Promise<void> {
    if (!running.has(child)) return
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    // It answers by ending.
    call(BUILT_IN.stop).catch(() => undefined)
    await ended
    clearTimeout(late)
  }
  await ask(0, BUILT_IN.ready, [])
  return {
    call: call as Worker<Commands>['call'],
    watch: async () => void (await call(BUILT_IN.watch)),
    usage: async () => (await call(BUILT_IN.usage)) as Usage,
    signal: (signal) => void child.kill(signal),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
