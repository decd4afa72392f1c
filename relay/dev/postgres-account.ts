import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, cpSync, existsSync, lstatSync, mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { PostcommitError } from 'postcommit/protocol'
import type { PostgresBinaries } from './postgres-binaries.ts'

/** Under whose name PostgreSQL runs, and where its programs and data then have to be. */
export interface PostgresAccount {
  /** How a program is called under this name. */
  readonly command: (program: string, args: readonly string[]) => { file: string; args: readonly string[] }
  /** Set if the programs run as another user. */
  readonly user?: number
  readonly binaries: PostgresBinaries
  readonly dataDir: string
}

/** How PostgreSQL is kept from seeing that root started it. */
export type RootWorkaround = 'user-namespace' | 'nobody'

const NOBODY = 65534
const SHARED_DIR = '/var/tmp/postcommit-root'

/**
 * PostgreSQL refuses to run as root, and root is who runs everything in most containers.
 *
 * In a user namespace of its own the program sees itself as nobody, while the files stay root's: nothing has to be
 * moved, and a project below /root works. Where namespaces are forbidden (Docker's default profile) it runs as the
 * real user nobody, who cannot see into root's folders: programs and data are then kept below /var/tmp.
 */
export function postgresAccount(
  binaries: PostgresBinaries,
  dataDir: string,
  workaround: RootWorkaround | undefined = rootWorkaround(),
): PostgresAccount {
  if (workaround === undefined) return { command: direct, binaries, dataDir }
  if (workaround === 'user-namespace') return { command: inUserNamespace, binaries, dataDir }
  mkdirSync(SHARED_DIR, { recursive: true, mode: 0o711 })
  const owner = lstatSync(SHARED_DIR)
  if (!owner.isDirectory() || owner.uid !== 0) {
    throw new PostcommitError('POSTCOMMIT_SERVER_START_FAILED', {
      server: 'PostgreSQL',
      reason: `it does not run as root, and ${SHARED_DIR} belongs to user ${owner.uid}`,
      log: SHARED_DIR,
      variable: 'DATABASE_URL',
    })
  }
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 16)
  const home = join(SHARED_DIR, name)
  mkdirSync(home, { recursive: true })
  // Said again because a strict umask would take from nobody what mkdir was asked to give.
  for (const folder of [SHARED_DIR, home]) chmodSync(folder, 0o711)
  return { command: direct, user: NOBODY, binaries: readableBinaries(binaries), dataDir: join(home, 'postgres') }
}

const direct: PostgresAccount['command'] = (program, args) => ({ file: program, args })

const inUserNamespace: PostgresAccount['command'] = (program, args) => {
  return { file: 'unshare', args: ['--user', program, ...args] }
}

function rootWorkaround(): RootWorkaround | undefined {
  if (process.getuid?.() !== 0) return undefined
  return spawnSync('unshare', ['--user', 'true']).status === 0 ? 'user-namespace' : 'nobody'
}

/** A system's own PostgreSQL can be run by everybody; one in root's node_modules may not. */
function readableBinaries(binaries: PostgresBinaries): PostgresBinaries {
  if (binaries.source === 'system') return binaries
  const copy = join(SHARED_DIR, `postgres-${binaries.version}`)
  if (!existsSync(copy)) {
    const unfinished = `${copy}.${process.pid}`
    cpSync(binaries.root, unfinished, { recursive: true, verbatimSymlinks: true })
    renameSync(unfinished, copy)
  }
  return { ...binaries, root: copy, initdb: join(copy, 'bin', 'initdb'), postgres: join(copy, 'bin', 'postgres') }
}
