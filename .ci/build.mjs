// Builds both packages, and knows without asking the compiler whether that is needed.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const STAMP = join(root, 'node_modules/.cache/built-for-tests')
const OUTPUTS = [
  'dist/index.js',
  'dist/nats/index.js',
  'dist/barrier/index.js',
  'dist/cache/index.js',
  'dist/redis-outbox/index.js',
  'relay/dist/index.js',
  'relay/dist/dev/index.js',
]
const SETTINGS = ['tsconfig.base.json', 'src/tsconfig.json', 'relay/tsconfig.json', 'package-lock.json']

/** Whether no source is newer than the last build. */
export function isBuilt() {
  if (!existsSync(STAMP) || OUTPUTS.some((path) => !existsSync(join(root, path)))) return false
  const builtAt = statSync(STAMP).mtimeMs
  if (SETTINGS.some((path) => statSync(join(root, path)).mtimeMs > builtAt)) return false
  return newestSource(join(root, 'src')) <= builtAt && newestSource(join(root, 'relay')) <= builtAt
}

/** Returns what the compiler has to say, or undefined if everything is well. */
export function build() {
  const startedAt = new Date()
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const { status, stdout } = spawnSync(process.execPath, [compiler, '-b', 'src', 'relay'], {
    cwd: root,
    encoding: 'utf8',
  })
  const missing = OUTPUTS.find((path) => !existsSync(join(root, path)))
  if (missing !== undefined) throw new Error(`${stdout}\nThe build did not write ${missing}.`)
  mkdirSync(dirname(STAMP), { recursive: true })
  writeFileSync(STAMP, '')
  // A source that was edited while the compiler ran is newer than this.
  utimesSync(STAMP, startedAt, startedAt)
  return status === 0 ? undefined : stdout
}

function newestSource(folder) {
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
