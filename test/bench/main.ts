/**
 * `npm run bench`: postcommit, the limits of the machine and what a user would take instead, on the same servers, in
 * the same run, in turns.
 */
import { writeFile } from 'node:fs/promises'
import type { Bench, Case } from './case.ts'
import { cases } from './cases.ts'
import { writeDocument } from './document.ts'
import { describeMachine } from './machine.ts'
import type { Measurement } from './measurement.ts'
import { type Options, parseOptions, UsageError, usage } from './options.ts'
import { describe, summary } from './report.ts'
import { type Servers, startServers } from './servers.ts'

const ROUNDS = { full: 5, quick: 3 }

try {
  const options = parseOptions(process.argv.slice(2), cases)
  if (options === 'help') console.log(usage(cases))
  else await main(options)
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  console.error(`${error.message}\n\n${usage(cases)}`)
  process.exitCode = 2
}

async function main(options: Options): Promise<void> {
  const startedAt = performance.now()
  await using servers = await startServers()
  const machine = describeMachine(servers)
  console.log(`${machine.join('\n')}\n`)
  const measured = await measureAll(options, servers)
  const measurements = [...measured.values()].flat()
  console.log(`${summary(measurements)}\n${Math.round((performance.now() - startedAt) / 1000)} s`)
  if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(measurements, null, 2)}\n`)
  if (options.doc) await writeDocument(machine, measured)
}

async function measureAll(
  { cases, quick }: Options,
  servers: Servers,
): Promise<ReadonlyMap<Case, readonly Measurement[]>> {
  const measured = new Map<Case, readonly Measurement[]>()
  for (const each of cases) {
    console.log(`${each.name}: ${each.title}`)
    const measurements = await each.run(benchOf(each, servers, quick))
    clearProgress()
    for (const measurement of measurements) console.log(`${describe(measurement)}\n`)
    measured.set(each, measurements)
  }
  return measured
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
