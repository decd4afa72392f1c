import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** A process as the operating system lists it. */
export interface ProcessEntry {
  readonly pid: number
  readonly parentPid: number
  /** When it started, in the operating system's own notation. With the pid it tells a process from a later one. */
  readonly startedAt: string
  /** A zombie has ended and only waits for its parent to look; where PID 1 never looks, it stays for ever. */
  readonly ended: boolean
}

/**
 * The process `pid`, or undefined if there is none or it has ended.
 *
 * `process.kill(pid, 0)` is not enough: it also finds zombies, and says nothing about a pid that was given out again.
 */
export function findProcess(pid: number): ProcessEntry | undefined {
  const entry = process.platform === 'linux' ? readEntry(pid) : listWithPs(['-p', String(pid)])[0]
  return entry?.ended === false ? entry : undefined
}

/** Whether the very process that was seen before is still there. */
export function isRunning(seen: Pick<ProcessEntry, 'pid' | 'startedAt'>): boolean {
  return findProcess(seen.pid)?.startedAt === seen.startedAt
}

/** All processes that `pid` started, and those that they started. */
export function descendantsOf(pid: number): ProcessEntry[] {
  const all = process.platform === 'linux' ? listProc() : listWithPs(['-A'])
  const found: ProcessEntry[] = []
  const parents = [pid]
  for (const parent of parents) {
    for (const entry of all) {
      if (entry.parentPid !== parent || entry.ended) continue
      found.push(entry)
      parents.push(entry.pid)
    }
  }
  return found
}

/** The arguments a process was started with, joined by spaces. Empty if it is gone or not ours to look at. */
export function commandLineOf(pid: number): string {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
    return execFileSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).trim()
  } catch {
    return ''
  }
}

// Debian's slim images have no ps, so on Linux the table is read where ps reads it.
function listProc(): ProcessEntry[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readEntry(Number(name)))
    .filter((entry) => entry !== undefined)
}

function readEntry(pid: number): ProcessEntry | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const [state = '', parentPid = ''] = fields
    const startedAt = fields[19] ?? ''
    // A killed program is listed as a zombie as soon as its first thread has ended. The others may still hold its port.
    const threads = Number(fields[17])
    const ended = (state === 'Z' || state === 'X') && threads <= 1
    return { pid, parentPid: Number(parentPid), startedAt, ended }
  } catch {
    return undefined
  }
}

function listWithPs(selection: readonly string[]): ProcessEntry[] {
  try {
    const columns = ['-o', 'pid=', '-o', 'ppid=', '-o', 'stat=', '-o', 'lstart=']
    return execFileSync('ps', [...selection, ...columns], { encoding: 'utf8' })
      .split('\n')
      .map((line) => /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*\S)/.exec(line))
      .filter((match) => match !== null)
      .map(([, pid = '', parentPid = '', state = '', startedAt = '']) => {
        return { pid: Number(pid), parentPid: Number(parentPid), startedAt, ended: state.startsWith('Z') }
      })
  } catch {
    return []
  }
}
