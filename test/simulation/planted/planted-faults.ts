import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import ts from 'typescript'
import { PLANTED, type PlantedFault } from './faults.ts'
import type { Hunted } from './hunt.ts'
import { plant, ROOT } from './plant.ts'

const AT_ONCE = 2
const HUNT_MS = 300_000

const { values: options } = parseArgs({
  options: {
    // Another seed, other histories.
    seed: { type: 'string', default: '1' },
    // A part, a kind of histories, or some words of a name.
    only: { type: 'string', default: '' },
    // A few, for every run of the tests.
    quick: { type: 'boolean', default: false },
    // How many histories are looked at for a fault, at most.
    runs: { type: 'string', default: '6000' },
    // How many have to hold without one.
    sound: { type: 'string', default: '1000' },
  },
})
const folder = mkdtempSync(join(tmpdir(), 'postcommit-planted-'))

try {
  process.exitCode = (await main()) ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function main(): Promise<boolean> {
  const faults = PLANTED.filter(isAskedFor)
  if (faults.length === 0) throw new Error(`there is no planted fault of ${options.only}`)
  console.log(`seed ${options.seed}; a fault is put into one source, and histories are run until one breaks a promise`)
  console.log(`\n${'part'.padEnd(11)} ${'histories'.padStart(9)}  ${'found by'.padEnd(10)} planted fault`)
  const kinds = [...new Set(faults.map(({ histories }) => histories))]
  const jobs = [...kinds.map((kind) => () => sound(kind)), ...faults.map((fault) => () => planted(fault))]
  const results = await inTurns(jobs, AT_ONCE)
  const wrong = results.filter((isWell) => !isWell).length
  const all = `all ${faults.length} planted faults found, and nothing without one`
  console.log(`\n${wrong === 0 ? all : `${wrong} of these lines are not as they should be`}`)
  return wrong === 0
}

function isAskedFor({ name, part, histories, isQuick = false }: PlantedFault): boolean {
  const { only, quick } = options
  return (isQuick || !quick) && (part === only || histories === only || name.includes(only))
}

/** Without a fault nothing may be found: a harness that cries always finds everything. */
async function sound(kind: PlantedFault['histories']): Promise<boolean> {
  const { histories, violation, path } = await hunt(kind, options.sound)
  const found = violation === undefined ? 'nothing' : violation.invariant
  line('-', histories, found, `(none planted: histories of ${kind})`)
  if (violation !== undefined) console.log(`    ${violation.what}; seed ${options.seed}, path ${path}`)
  return violation === undefined
}

async function planted(fault: PlantedFault): Promise<boolean> {
  const source = plant(fault)
  if (source === undefined) {
    line(fault.part, 0, 'NOT THERE', `${fault.name}: its text is not in the sources exactly once`)
    return false
  }
  const path = join(folder, `${PLANTED.indexOf(fault)}.mjs`)
  writeFileSync(path, transpiled(source.text))
  const url = pathToFileURL(join(ROOT, source.path)).href
  const { histories, violation } = await hunt(fault.histories, options.runs, { url, path, breaks: fault.breaks })
  line(fault.part, histories, violation?.invariant ?? 'NOT FOUND', `${fault.name} (${source.path})`)
  return violation !== undefined
}

function hunt(kind: string, runs: string, plantedAt?: { url: string; path: string; breaks: string }): Promise<Hunted> {
  const register = new URL('register.mjs', import.meta.url).href
  const program = fileURLToPath(new URL('hunt.ts', import.meta.url))
  const env = { ...process.env, ...(plantedAt && { POSTCOMMIT_SIMULATION_PLANTED: JSON.stringify(plantedAt) }) }
  const given = ['--import', 'tsx', '--import', register, program, kind, runs, options.seed]
  if (plantedAt !== undefined) given.push(plantedAt.breaks)
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, given, {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: HUNT_MS,
    })
    let [out, err] = ['', '']
    child.stdout.on('data', (chunk) => (out += chunk))
    child.stderr.on('data', (chunk) => (err += chunk))
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === 0) resolve(JSON.parse(out))
      // Nothing is proven by a source that does not run.
      else reject(new Error(`a hunt ended with ${code ?? signal}: ${err.slice(-2000)}`))
    })
  })
}

async function inTurns(jobs: readonly (() => Promise<boolean>)[], atOnce: number): Promise<boolean[]> {
  const left = [...jobs]
  const results: boolean[] = []
  const work = async () => {
    for (let job = left.shift(); job !== undefined; job = left.shift()) results.push(await job())
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return results
}

function transpiled(text: string): string {
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true }
  return ts.transpileModule(text, { compilerOptions }).outputText
}

function line(part: string, histories: number, found: string, what: string): void {
  console.log(`${part.padEnd(11)} ${String(histories).padStart(9)}  ${found.padEnd(10)} ${what}`)
}
