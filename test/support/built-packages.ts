import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmdirSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { repositoryFolder } from './repository-folder.ts'

const CACHE = join(repositoryFolder, 'node_modules', '.cache')
const STAMP = join(CACHE, 'built-for-tests')
const LOCK = join(CACHE, 'building-for-tests')
const SOURCES = ['src', 'relay']
const OUTPUTS = ['dist/index.js', 'relay/dist/dev/index.js']
/** Longer than any build: whoever made the lock and did not remove it was killed. */
const LOCK_AGE_MS_MAX = 120_000

/**
 * Builds both packages if a source is newer than the last build. Programs run as their users would run them, against
 * `dist`, and a test of yesterday's `dist` would be worse than none.
 */
export async function builtPackages(): Promise<void> {
  mkdirSync(CACHE, { recursive: true })
  while (!isFresh()) {
    if (!takeLock()) {
      await sleep(50)
      continue
    }
    try {
      if (!isFresh()) await build()
    } finally {
      rmdirSync(LOCK)
    }
  }
}

async function build(): Promise<void> {
  const startedAt = new Date()
  const compiler = join(repositoryFolder, 'node_modules', 'typescript', 'bin', 'tsc')
  // What the compiler remembers lies elsewhere than its output: it does not notice that dist was removed.
  const force = missingOutput() === undefined ? [] : ['--force']
  try {
    await promisify(execFile)(process.execPath, [compiler, '-b', 'relay', ...force], { cwd: repositoryFolder })
  } catch (error) {
    // The compiler writes its output all the same; wrong types are for `npm run check` to refuse.
    if (missingOutput() !== undefined) throw error
  }
  const missing = missingOutput()
  if (missing !== undefined) throw new Error(`the build did not write ${missing}; run: npm run build`)
  writeFileSync(STAMP, '')
  // A source that was edited while the compiler ran is newer than this.
  utimesSync(STAMP, startedAt, startedAt)
}

function isFresh(): boolean {
  if (!existsSync(STAMP) || missingOutput() !== undefined) return false
  const builtAt = statSync(STAMP).mtimeMs
  return SOURCES.every((folder) => newestSource(join(repositoryFolder, folder)) <= builtAt)
}

function missingOutput(): string | undefined {
  return OUTPUTS.find((path) => !existsSync(join(repositoryFolder, path)))
}

function newestSource(folder: string): number {
  let newest = 0
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) {
      if (entry.name !== 'dist' && entry.name !== 'node_modules') newest = Math.max(newest, newestSource(path))
    } else if (/(?<!\.test)\.ts$/.test(entry.name)) {
      newest = Math.max(newest, statSync(path).mtimeMs)
    }
  }
  return newest
}

/** Test files run in several processes, of which one builds. */
function takeLock(): boolean {
  try {
    mkdirSync(LOCK)
    return true
  } catch {
    const made = statSync(LOCK, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()
    if (Date.now() - made > LOCK_AGE_MS_MAX) rmdirSync(LOCK)
    return false
  }
}
