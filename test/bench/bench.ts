import { writeFile } from 'node:fs/promises'
import { constants } from 'node:os'
import type { Bench, Case, Prepared } from './case.ts'
import { writeDocument } from './document.ts'
import { describeMachine } from './machine.ts'
import type { Measurement } from './measurement.ts'
import { type Options, parseOptions, UsageError, usage } from './options.ts'
import { describe, summary } from './report.ts'
import { type Servers, startServers } from './servers.ts'
import { killWorkers } from './worker.ts'

const ROUNDS = { full: 3, quick: 3 }
const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Does what the command line asks for, and leaves nothing running and nothing in the folder for temporary files,
 * however it ends.
 *
 * @returns what the process is to end with: 0, 1 if something could not be measured, 2 for a wrong command line
 */
export async function runBench(args: readonly string[], all: readonly Case[]): Promise<number> {
  try {
    const options = parseOptions(args, all)
    if (options !== 'help') return await measureUnlessInterrupted(options)
    console.log(usage(all))
    return 0
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    console.error(`${error.message}\n\n${usage(all)}`)
    return 2
  }
}

async function measureUnlessInterrupted(options: Options): Promise<number> {
  const starting = startServers()
  let isInterrupted = false
  const interrupted = new Promise<number>((resolve) => {
    for (const signal of ENDING_SIGNALS) {
      // Not once: the servers' own listener ends the process as soon as it is the only one.
      process.on(signal, () => {
        if (isInterrupted) return
        isInterrupted = true
        void killWorkers()
          .then(async () => (await starting)[Symbol.asyncDispose]())
          .finally(() => resolve(128 + constants.signals[signal]))
      })
    }
  })
  const measured = measureAndReport(options, starting).then(
    () => 0,
    (error: unknown) => {
      // What is measured while the servers end fails, and is not reported.
      if (isInterrupted) return interrupted
      console.error(error)
      return 1
    },
  )
  return await Promise.race([measured, interrupted])
}

async function measureAndReport(options: Options, starting: Promise<Servers>): Promise<void> {
  const startedAt = performance.now()
  await using servers = await starting
  try {
    const machine = describeMachine(servers)
    console.log(`${machine.join('\n')}\n`)
    const measured = await measureAll(options, servers)
    const measurements = [...measured.values()].flat()
    console.log(`${summary(measurements)}\n${Math.round((performance.now() - startedAt) / 1000)} s`)
    if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(measurements, null, 2)}\n`)
    if (options.doc) await writeDocument(machine, measured)
  } finally {
    await killWorkers()
  }
}

async function measureAll(
  { cases, quick }: Options,
  servers: Servers,
): Promise<ReadonlyMap<Case, readonly Measurement[]>> {
  const measured = new Map<Case, readonly Measurement[]>()
  const prepared = new Map<Case, Prepared | undefined>()
  for (const each of cases) prepared.set(each, await each.prepare?.(benchOf(each, servers, quick)))
  for (const each of cases) {
    console.log(`${each.name}: ${each.title}`)
    const measurements = await run(each, prepared.get(each), servers, quick)
    clearProgress()
    for (const measurement of measurements) console.log(`${describe(measurement)}\n`)
    measured.set(each, measurements)
  }
  return measured
}

async function run(
  each: Case,
  prepared: Prepared | undefined,
  servers: Servers,
  quick: boolean,
): Promise<readonly Measurement[]> {
  const bench = benchOf(each, servers, quick)
  try {
    return [...(await each.run(bench)), ...((await prepared?.measure(bench)) ?? [])]
  } catch (error) {
    throw new Error(`${each.name} could not be measured`, { cause: error })
  }
}

function benchOf({ name }: Case, servers: Servers, quick: boolean): Bench {
  return {
    servers,
    quick,
    rounds: quick ? ROUNDS.quick : ROUNDS.full,
    scale: (full, small) => (quick ? small : full),
    progress: (text) => {
      if (process.stdout.isTTY) process.stdout.write(`\r\u001b[K  ${name}: ${text}`)
    },
  }
}

function clearProgress(): void {
  if (process.stdout.isTTY) process.stdout.write('\r\u001b[K')
}
