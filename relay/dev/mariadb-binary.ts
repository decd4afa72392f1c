import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { PostcommitError } from 'postcommit/protocol'
import { findProgram, installCommand, type ServerBinary, type ServerProgram, versionOf } from './find-program.ts'

const MARIADB: ServerProgram = {
  name: 'mariadbd',
  // MySQL's own mysqld has other options and another way to make its data.
  version: /Ver (\d[\d.]*)-MariaDB/,
  // The core has the server and none of the service around it: nothing is started by its installation.
  packages: { debian: 'mariadb-server-core', homebrew: 'mariadb' },
  site: 'https://mariadb.org/download/',
}

/** A MariaDB server that runs on this machine, with the statements that make its data. */
export interface MariadbBinary extends ServerBinary {
  /** The folder above `share`. */
  readonly base: string
  /** The folder with its messages and the statements that make its system tables. */
  readonly share: string
}

/** Finds MariaDB's server on PATH or where package managers put it. */
export function findMariadb(): ServerBinary | undefined {
  return findProgram(MARIADB)
}

/** What to type on this machine to get MariaDB's server. */
export function mariadbInstallCommand(): string {
  return installCommand(MARIADB)
}

/**
 * The program at `path`, or the one that is found, with what belongs to it.
 * @throws PostcommitError POSTCOMMIT_SERVER_NOT_FOUND.
 */
export function mariadbFor(path: string | undefined): MariadbBinary {
  const version = path === undefined ? undefined : versionOf(MARIADB, path)
  const found = path === undefined ? findMariadb() : version === undefined ? undefined : { path, version }
  if (found === undefined) {
    throw notFound(path === undefined ? 'it is not on PATH' : `${path} is not one that runs here`)
  }
  // Homebrew's bin holds links into the folder of the version.
  const base = dirname(dirname(realpathSync(found.path)))
  const share = ['mysql', 'mariadb']
    .map((name) => join(base, 'share', name))
    .find((folder) => systemTables(folder).every((file) => file !== undefined))
  if (share === undefined) throw notFound(`${base}/share lacks the statements that make its system tables`)
  return { ...found, base, share }
}

/** The files that make the system tables, in their order; newer versions call them by another name. */
export function systemTables(share: string): readonly (string | undefined)[] {
  return ['system_tables', 'performance_tables', 'system_tables_data'].map((name) =>
    [`mariadb_${name}.sql`, `mysql_${name}.sql`].map((file) => join(share, file)).find(existsSync),
  )
}

function notFound(reason: string): PostcommitError {
  return new PostcommitError('POSTCOMMIT_SERVER_NOT_FOUND', {
    server: 'MariaDB',
    reason,
    install: `To install it: ${mariadbInstallCommand()}`,
  })
}
