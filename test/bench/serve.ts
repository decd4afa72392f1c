import { monitorEventLoopDelay } from 'node:perf_hooks'
import { BUILT_IN, type CommandTable, type Reply, type Request, type Usage } from './worker.ts'

const SAMPLE_MS = 100
const MB = 1024 * 1024

/** What a worker's program does: opens what it needs, answers commands, closes. */
export type Open<Config, Commands extends CommandTable> = (
  config: Config,
) => Promise<{ readonly commands: Commands; readonly close?: () => Promise<unknown> }>

/** The other end of `startWorker`: the whole program of a worker is one call of this. */
export function serve<Config, Commands extends CommandTable>(open: Open<Config, Commands>): void {
  const config = JSON.parse(process.argv[2] ?? 'null') as Config
  // A worker must not outlive the bench, however that ends.
  process.once('disconnect', () => process.exit(1))
  open(config).then(
    ({ commands, close }) => {
      const own = ownCommands(close)
      process.on('message', ({ id, name, args }: Request) => void answer(id, own[name] ?? commands[name], args, name))
      reply({ id: 0 })
    },
    (error: unknown) => reply({ id: 0, error: textOf(error) }, () => process.exit(1)),
  )
}

async function answer(
  id: number,
  command: CommandTable[string] | undefined,
  args: readonly unknown[],
  name: string,
): Promise<void> {
  try {
    if (command === undefined) throw new Error(`has no command ${name}`)
    reply({ id, result: await command(...args) })
  } catch (error) {
    reply({ id, error: textOf(error) })
  }
}

function ownCommands(close: (() => Promise<unknown>) | undefined): CommandTable {
  const delay = monitorEventLoopDelay({ resolution: 10 })
  const seen = { first: 0, max: 0, last: 0 }
  let cpu = process.cpuUsage()
  const sample = () => {
    seen.last = process.memoryUsage.rss() / MB
    seen.max = Math.max(seen.max, seen.last)
  }
  setInterval(sample, SAMPLE_MS)
  return {
    [BUILT_IN.watch]: () => {
      sample()
      Object.assign(seen, { first: seen.last, max: seen.last })
      cpu = process.cpuUsage()
      delay.reset()
      delay.enable()
    },
    [BUILT_IN.usage]: (): Usage => {
      sample()
      const { user, system } = process.cpuUsage(cpu)
      return {
        rssMb: { ...seen },
        cpuMs: (user + system) / 1000,
        eventLoopDelayMs: {
          p50: delay.percentile(50) / 1e6,
          p99: delay.percentile(99) / 1e6,
          max: delay.max / 1e6,
        },
      }
    },
    [BUILT_IN.stop]: async () => {
      try {
        await close?.()
        process.exit(0)
      } catch (error) {
        // The bench, which stops it, does not listen any more.
        console.error(error)
        process.exit(1)
      }
    },
  }
}

function reply(message: Reply, sent: () => void = () => undefined): void {
  process.send?.(message, sent)
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
