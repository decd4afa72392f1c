import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { repositoryFolder } from '../support/repository-folder.ts'

/** A file of this repository that was written by hand. */
export interface RepositoryFile {
  /** Relative to the root, with slashes. */
  readonly path: string
  readonly text: string
}

const SKIPPED = new Set(['node_modules', 'dist', '.git', '.postcommit', 'coverage', 'temp'])

/** Every file below these folders that has one of these endings. */
export function repositoryFiles(folders: readonly string[], endings: readonly string[]): RepositoryFile[] {
  return folders
    .flatMap((folder) => walk(folder))
    .flatMap((path) => (endings.includes(extname(path)) ? read(path) : []))
}

/** Every path that git tracks, or would with the next `git add --all`. */
export function trackedPaths(): string[] {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: repositoryFolder,
    encoding: 'utf8',
  })
  return listed.split('\0').filter((path) => path !== '')
}

/** Code of the packages, without its tests. */
export function packageSources(): RepositoryFile[] {
  return repositoryFiles(['src', 'relay'], ['.ts']).filter(({ path }) => !isTest(path))
}

/** Whether this is a file of tests. */
export function isTest(path: string): boolean {
  return /\.test\.ts$/.test(path)
}

function walk(folder: string): string[] {
  return readdirSync(join(repositoryFolder, folder), { withFileTypes: true }).flatMap((entry) => {
    if (SKIPPED.has(entry.name)) return []
    const path = folder === '.' ? entry.name : `${folder}/${entry.name}`
    return entry.isDirectory() ? walk(path) : entry.isFile() ? [path] : []
  })
}

function read(path: string): RepositoryFile {
  return { path, text: readFileSync(join(repositoryFolder, path), 'utf8') }
}
