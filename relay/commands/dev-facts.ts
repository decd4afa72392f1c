import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { z } from 'zod'

/** What programs that are started beside `postcommit dev` need to know of it. */
const DevFacts = z.object({
  pid: z.int(),
  databaseUrl: z.string(),
  natsUrl: z.string().optional(),
  healthUrl: z.string().optional(),
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
export function readDevFacts(cwd: string): DevFacts | undefined {
  try {
    return DevFacts.parse(JSON.parse(readFileSync(join(cwd, FILE), 'utf8')))
  } catch {
    return undefined
  }
}

export function removeDevFacts(cwd: string): void {
  rmSync(join(cwd, FILE), { force: true })
}

/** The database of a running `postcommit dev`, as a value of the configuration. */
export function devDatabase(cwd: string): { readonly value: string; readonly source: string } | undefined {
  const facts = readDevFacts(cwd)
  return facts === undefined ? undefined : { value: facts.databaseUrl, source: FILE }
}
