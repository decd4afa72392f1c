import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lockFolder } from '../../relay/dev/folder-lock.ts'
import { findProcess, isRunning } from '../../relay/dev/process-table.ts'

/** How the folders of test runs are called, below the folder for temporary files. */
export const TEST_FOLDER_PREFIX = 'postcommit-test-'

const OWNER = 'test-run.json'
const RECORD = 'programs.jsonl'
const LOCK_ENDING = '.lock'

/** Notes that the folder belongs to the test run that this process conducts. */
export function ownTestFolder(testFolder: string): void {
  writeFileSync(join(testFolder, OWNER), markOf(process.pid) ?? '')
}

/** Keeps a later run from removing the folder. */
export function keepTestFolder(testFolder: string): void {
  rmSync(join(testFolder, OWNER))
}

/** Notes a process of a test, so that {@link endLeftovers} finds it even if the process that runs the test is killed. */
export function recordProcess(testFolder: string, pid: number): void {
  const mark = markOf(pid)
  if (mark !== undefined) appendFileSync(join(testFolder, RECORD), `${mark}\n`)
}

/** Ends what tests that were cut short have left running: their programs, and their private servers. */
export async function endLeftovers(testFolder: string): Promise<void> {
  for (const { pid, startedAt } of readMarks(join(testFolder, RECORD))) {
    if (isRunning({ pid, startedAt })) process.kill(pid, 'SIGKILL')
  }
  for (const path of readdirSync(testFolder, { recursive: true, encoding: 'utf8' })) {
    if (!path.endsWith(LOCK_ENDING)) continue
    // Whoever takes a folder over ends the server that its last owner left there.
    const folder = join(testFolder, path.slice(0, -LOCK_ENDING.length))
    const lock = await lockFolder(folder, 'a server').catch(() => undefined)
    lock?.release()
  }
}

/** Clears up after test runs that were killed. */
export async function endKilledTestRuns(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    const testFolder = join(tmpdir(), name)
    const [owner] = name.startsWith(TEST_FOLDER_PREFIX) ? readMarks(join(testFolder, OWNER)) : []
    if (owner === undefined || isRunning(owner)) continue
    await endLeftovers(testFolder)
    rmSync(testFolder, { recursive: true, force: true })
  }
}

interface Mark {
  readonly pid: number
  readonly startedAt: string
}

function markOf(pid: number): string | undefined {
  const startedAt = findProcess(pid)?.startedAt
  return startedAt === undefined ? undefined : JSON.stringify({ pid, startedAt })
}

function readMarks(path: string): Mark[] {
  if (!existsSync(path)) return []
  const lines = readFileSync(path, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Mark)
}
