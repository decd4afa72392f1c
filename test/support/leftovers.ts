import { appendFileSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { lockFolder } from '../../relay/dev/folder-lock.ts'
import { findProcess, isRunning } from '../../relay/dev/process-table.ts'

const RECORD = 'programs.jsonl'
const LOCK_ENDING = '.lock'

/** Notes a process of a test, so that {@link endLeftovers} finds it even if the process that runs the test is killed. */
export function recordProcess(testFolder: string, pid: number): void {
  const startedAt = findProcess(pid)?.startedAt
  if (startedAt !== undefined) appendFileSync(join(testFolder, RECORD), `${JSON.stringify({ pid, startedAt })}\n`)
}

/** Ends what tests that were cut short have left running: their programs, and their private servers. */
export async function endLeftovers(testFolder: string): Promise<void> {
  const record = join(testFolder, RECORD)
  if (existsSync(record)) {
    for (const line of readFileSync(record, 'utf8').trim().split('\n')) {
      const { pid, startedAt } = JSON.parse(line) as { pid: number; startedAt: string }
      if (isRunning({ pid, startedAt })) process.kill(pid, 'SIGKILL')
    }
  }
  for (const path of readdirSync(testFolder, { recursive: true, encoding: 'utf8' })) {
    if (!path.endsWith(LOCK_ENDING)) continue
    // Whoever takes a folder over ends the server that its last owner left there.
    const lock = await lockFolder(join(testFolder, path.slice(0, -LOCK_ENDING.length)), 'a server').catch(
      () => undefined,
    )
    lock?.release()
  }
}
