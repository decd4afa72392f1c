import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import ts from 'typescript'
import { PLANTED, type PlantedFault } from './faults.ts'
import type { Hunted } from './hunt.ts'

/** How many histories are looked at, at most, and how many have to hold without a fault. */
const RUNS = { planted: 3000, sound: 1000 }
const AT_ONCE = 2
const HUNT_MS = 120_000

const root = fileURLToPath(new URL('../../../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'postcommit-planted-'))
const [only, seedGiven] = [optionOf('--only'), optionOf('--seed')]
const seed = seedGiven === undefined ? Date.now() % 1_000_000_000 : Number(seedGiven)

/** The sources a fault can be put into: what ships, and the services of the simulation. */
const sources = new Map(
  ['relay', 'src', 'test/simulation']
    .flatMap((within) => filesIn(within))
    .map((path) => [path, readFileSync(join(root, path), 'utf8')]),
)

try {
  process.exitCode = (await main()) ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function main(): Promise<boolean> {
  const faults = PLANTED.filter(({ name, part }) => only === undefined || name.includes(only) || part === only)
  if (faults.length === 0) throw new Error(`no planted fault is called ${only}`)
  console.log(`seed ${seed}; each fault is planted into one source, and histories are run until one breaks a promise\n`)
  const kinds = [...new Set(faults.map(({ histories }) => histories))]
  const jobs = [...kinds.map((kind) => () => sound(kind)), ...faults.map((fault) => () => planted(fault))]
  console.log(`${'part'.padEnd(11)} ${'histories'.padStart(9)}  ${'found by'.padEnd(10)} planted fault`)
  const results = await inTurns(jobs, AT_ONCE)
  const missed = results.filter((isWell) => !isWell).length
  console.log(
    `\n${missed === 0 ? `all ${faults.length} planted faults found, none without one` : `${missed} not as it should be`}`,
  )
  return missed === 0
}

/** Without a fault nothing may be found: a harness that cries always finds everything. */
async function sound(kind: PlantedFault['histories']): Promise<boolean> {
  const { histories, violation, path } = await hunt(kind, RUNS.sound)
  const found = violation === undefined ? 'nothing' : violation.invariant
  line('-', histories, found, `(none planted: histories of ${kind})`)
  if (violation !== undefined) console.log(`    ${violation.what}; seed ${seed}, path ${path}`)
  return violation === undefined
}

async function planted(fault: PlantedFault): Promise<boolean> {
  const [at, ...others] = [...sources].filter(([, text]) => text.includes(fault.of))
  const isOnce = at !== undefined && others.length === 0 && at[1].split(fault.of).length === 2
  if (at === undefined || !isOnce) {
    line(fault.part, 0, 'NOT THERE', `${fault.name}: its text is not in the sources exactly once`)
    return false
  }
  const [path, text] = at
  const file = join(folder, `${PLANTED.indexOf(fault)}.mjs`)
  writeFileSync(file, transpiled(text.replace(fault.of, () => fault.by)))
  const url = pathToFileURL(join(root, path)).href
  const { histories, violation } = await hunt(fault.histories, RUNS.planted, { url, path: file, breaks: fault.breaks })
  const isFound = violation !== undefined
  line(fault.part, histories, violation?.invariant ?? 'NOT FOUND', `${fault.name} (${path})`)
  return isFound
}

function hunt(kind: string, runs: number, plantedAt?: { url: string; path: string; breaks: string }): Promise<Hunted> {
  const register = new URL('register.mjs', import.meta.url).href
  const program = fileURLToPath(new URL('hunt.ts', import.meta.url))
  const env = { ...process.env, ...(plantedAt && { POSTCOMMIT_SIMULATION_PLANTED: JSON.stringify(plantedAt) }) }
  const given = ['--import', 'tsx', '--import', register, program, kind, String(runs), String(seed)]
  if (plantedAt !== undefined) given.push(plantedAt.breaks)
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, given, {
      cwd: root,
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
      else if (plantedAt === undefined) reject(new Error(`a hunt ended with ${code ?? signal}: ${err.slice(-2000)}`))
      // A loop that never comes to rest, or throws where it must not, is a way to be found too.
      else
        resolve({
          histories: 0,
          seed,
          violation: { invariant: 'it threw', what: `${code ?? signal}: ${err.slice(-500)}` },
        })
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

function filesIn(within: string): string[] {
  const all = readdirSync(join(root, within), { recursive: true, encoding: 'utf8' })
  const isSource = (path: string) =>
    path.endsWith('.ts') && !/\.(test|d)\.ts$/.test(path) && !/^(dist|planted)\//.test(path)
  return all.filter(isSource).map((path) => `${within}/${path}`)
}

function transpiled(text: string): string {
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true }
  return ts.transpileModule(text, { compilerOptions }).outputText
}

function line(part: string, histories: number, found: string, what: string): void {
  console.log(`${part.padEnd(11)} ${String(histories).padStart(9)}  ${found.padEnd(10)} ${what}`)
}

function optionOf(option: string): string | undefined {
  const at = process.argv.indexOf(option)
  return at === -1 ? undefined : process.argv[at + 1]
}
