import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { PostcommitError } from 'postcommit/protocol'
import { commandLineOf, findProcess, isRunning } from './process-table.ts'
import { controlProcess } from './server-process.ts'

/** Holds a folder for one process and the server it runs there. */
export interface FolderLock {
  /** Notes which server runs in the folder, so that a later start can end it should this process be killed. */
  noteServer(server: ServerMark): void
  release(): void
}

interface ProcessMark {
  readonly pid: number
  readonly startedAt: string
}

interface ServerMark extends ProcessMark {
  readonly exitSignal: NodeJS.Signals
}

interface LockFile {
  readonly owner: ProcessMark
  readonly server?: ServerMark
}

const STALE_SERVER_GRACE_MS = 10_000

/**
 * Takes the folder for this process, beside which the lock is kept as `<folder>.lock`.
 *
 * If the one who held it was killed, the server that it left behind is ended first; a process is only ever ended if
 * its pid, its start time and the folder in its command line are the ones that were noted.
 *
 * @throws PostcommitError POSTCOMMIT_SERVER_IN_USE while another live process (or this one) holds it.
 */
export async function lockFolder(folder: string, serverName: string): Promise<FolderLock> {
  const path = `${folder}.lock`
  const owner = { pid: process.pid, startedAt: findProcess(process.pid)?.startedAt ?? '' }
  mkdirSync(dirname(path), { recursive: true })
  while (!createLock(path, { owner })) {
    const text = readLock(path)
    if (text === undefined) continue
    const found = parseLock(text)
    if (found !== undefined && isRunning(found.owner)) {
      throw new PostcommitError('POSTCOMMIT_SERVER_IN_USE', { server: serverName, folder, pid: found.owner.pid })
    }
    if (found?.server !== undefined) await endLeftover(found.server, folder)
    removeLock(path, text)
  }
  return {
    noteServer: ({ pid, startedAt, exitSignal }) =>
      writeFileSync(path, JSON.stringify({ owner, server: { pid, startedAt, exitSignal } })),
    release: () => rmSync(path, { force: true }),
  }
}

function createLock(path: string, content: LockFile): boolean {
  try {
    writeFileSync(path, JSON.stringify(content), { flag: 'wx', mode: 0o600 })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

async function endLeftover(server: ServerMark, folder: string): Promise<void> {
  if (!isRunning(server) || !commandLineOf(server.pid).includes(folder)) return
  await controlProcess(server).end([server.exitSignal, 'SIGQUIT'], STALE_SERVER_GRACE_MS)
}

/** Removes the lock only if it is still the stale one: another start may have replaced it in the meantime. */
function removeLock(path: string, staleText: string): void {
  const aside = `${path}.${process.pid}`
  try {
    renameSync(path, aside)
    if (readLock(aside) !== staleText && !existsSync(path)) linkSync(aside, path)
  } catch {
    // Somebody else was faster; the next round of the loop sees what they left.
  } finally {
    rmSync(aside, { force: true })
  }
}

function readLock(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** Undefined for what is not a lock: the half-written file of a machine that lost power. */
function parseLock(text: string): LockFile | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || !('owner' in value) || !isMark(value.owner)) return undefined
    if (!('server' in value) || !isMark(value.server)) return { owner: value.owner }
    const { pid, startedAt } = value.server
    const exitSignal = 'exitSignal' in value.server && value.server.exitSignal === 'SIGTERM' ? 'SIGTERM' : 'SIGINT'
    return { owner: value.owner, server: { pid, startedAt, exitSignal } }
  } catch {
    return undefined
  }
}

function isMark(value: unknown): value is ProcessMark {
  return (
    typeof value === 'object' &&
    value !== null &&
    'pid' in value &&
    typeof value.pid === 'number' &&
    'startedAt' in value &&
    typeof value.startedAt === 'string'
  )
}
