import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { PostcommitError } from 'postcommit/protocol'
import type { PostgresAccount } from './postgres-account.ts'
import { commandLineOf, findProcess } from './process-table.ts'

// Not `postcommit`: a user's own name is the first schema in its search path, and its tables would land in ours.
export const POSTGRES_USER = 'dev'

/** The password of the data in `dataDir`, kept beside it in a file that only its owner may read. */
export function readPassword(dataDir: string): string {
  return readFileSync(passwordFile(dataDir), 'utf8').trim()
}

/**
 * Creates empty data for a superuser with a random password.
 *
 * It is made beside `dataDir` and moved there when it is whole, so that a start that was killed half-way leaves
 * nothing that looks like data.
 */
export async function createData(account: PostgresAccount): Promise<void> {
  const { dataDir, binaries, user } = account
  const unfinished = `${dataDir}.new`
  rmSync(unfinished, { recursive: true, force: true })
  mkdirSync(dirname(dataDir), { recursive: true })
  const passwordPath = passwordFile(dataDir)
  writeFileSync(passwordPath, `${randomBytes(18).toString('base64url')}\n`, { mode: 0o600 })
  if (user !== undefined) {
    // The folder around them stays root's, so that whoever else runs as that user cannot put links in their place.
    chownSync(passwordPath, user, user)
    mkdirSync(unfinished, { mode: 0o700 })
    chownSync(unfinished, user, user)
  }
  const { file, args } = account.command(binaries.initdb, [
    `--pgdata=${unfinished}`,
    `--username=${POSTGRES_USER}`,
    `--pwfile=${passwordPath}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    // Only the empty data is at stake should the machine lose power now; what is committed later is synced.
    '--no-sync',
    '--no-instructions',
  ])
  try {
    await promisify(execFile)(file, args, { ...(user === undefined ? {} : { uid: user, gid: user }) })
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true })
    throw new PostcommitError(
      'POSTCOMMIT_SERVER_START_FAILED',
      { server: 'PostgreSQL', reason: initdbOutput(error), log: dataDir, variable: 'DATABASE_URL' },
      { cause: error },
    )
  }
  renameSync(unfinished, dataDir)
}

/**
 * Removes the lock file of a PostgreSQL that was killed if its pid now belongs to somebody else: PostgreSQL only asks
 * whether the pid exists, and in a container, where pids start low each time, it usually does.
 *
 * @throws PostcommitError POSTCOMMIT_SERVER_IN_USE if a PostgreSQL that was not started here serves this data.
 */
export function clearStalePidFile(dataDir: string): void {
  const path = join(dataDir, 'postmaster.pid')
  if (!existsSync(path)) return
  const pid = Number.parseInt(readFileSync(path, 'utf8'), 10)
  if (findProcess(pid) === undefined) return
  if (/postgres|postmaster/.test(commandLineOf(pid)) && commandLineOf(pid).includes(dataDir)) {
    throw new PostcommitError('POSTCOMMIT_SERVER_IN_USE', { server: 'PostgreSQL', folder: dataDir, pid })
  }
  rmSync(path, { force: true })
}

/** Whether PostgreSQL itself says, in its pid file, that `pid` takes connections. */
export function isReady(dataDir: string, pid: number): boolean {
  const lines = pidFileLines(join(dataDir, 'postmaster.pid'))
  return Number(lines[0]) === pid && lines[7]?.trim() === 'ready'
}

function pidFileLines(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8').split('\n')
  } catch (error) {
    // Also while PostgreSQL replaces the file that a killed one has left: a look whether it is there proves nothing.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}

function passwordFile(dataDir: string): string {
  return `${dataDir}.password`
}

function initdbOutput(error: unknown): string {
  const stderr = typeof error === 'object' && error !== null && 'stderr' in error ? String(error.stderr).trim() : ''
  return stderr === '' ? String(error) : stderr
}
