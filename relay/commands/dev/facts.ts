import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import type { SetOption } from '../../config/layers.ts'
import { isRunning } from '../../dev/process-table.ts'

/** What programs that are started beside `postcommit dev` need to know of it. */
const DevFacts = z.object({
  pid: z.int(),
  /** With the pid it tells the process from a later one. */
  startedAt: z.string(),
  databaseUrl: z.string(),
  natsUrl: z.string().optional(),
  healthUrl: z.string().optional(),
  apiUrl: z.string().optional(),
  apiKey: z.string().optional(),
  dtmUrl: z.string().optional(),
})

/** See {@link writeDevFacts}. */
export type DevFacts = z.output<typeof DevFacts>

/** Where `postcommit dev` keeps what it has, in the folder it is started in. */
export const DEV_FOLDER = '.postcommit'
const FILE = join(DEV_FOLDER, 'dev.json')

/** Writes the facts where only this user can read them: the address of the database holds its password. */
export function writeDevFacts(cwd: string, facts: DevFacts): void {
  const path = join(cwd, FILE)
  mkdirSync(dirname(path), { recursive: true })
  // Removed first, because `mode` counts only for a file that is made.
  rmSync(path, { force: true })
  writeFileSync(path, `${JSON.stringify(facts, null, 2)}\n`, { mode: 0o600 })
}

/** The facts of the `postcommit dev` of a folder, as long as it runs. */
function readDevFacts(cwd: string): DevFacts | undefined {
  try {
    const facts = DevFacts.parse(JSON.parse(readFileSync(join(cwd, FILE), 'utf8')))
    return isRunning(facts) ? facts : undefined
  } catch {
    return undefined
  }
}

export function removeDevFacts(cwd: string): void {
  rmSync(join(cwd, FILE), { force: true })
}

/** The servers of the `postcommit dev` that runs in a folder, as values of the configuration. */
export function devServers(cwd: string): readonly SetOption[] {
  const facts = readDevFacts(cwd)
  if (facts === undefined) return []
  const { databaseUrl, natsUrl } = facts
  return [
    { path: ['databases', 'main', 'url'], value: databaseUrl, source: FILE },
    ...(natsUrl === undefined ? [] : [{ path: ['nats', 'servers'], value: [natsUrl], source: FILE }]),
  ]
}
