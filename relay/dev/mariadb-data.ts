import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { PostcommitError } from 'postcommit/protocol'
import { type MariadbBinary, systemTables } from './mariadb-binary.ts'

export const MARIADB_USER = 'dev'

/** The password of the data in `dataDir`, kept beside it in a file that only its owner may read. */
export function readPassword(dataDir: string): string {
  return readFileSync(passwordFile(dataDir), 'utf8').trim()
}

/** The arguments that every call of the server's program begins with: nothing of the machine's own configuration. */
export function mariadbArgs({ base, share }: MariadbBinary, dataDir: string): readonly string[] {
  return [
    '--no-defaults',
    // It runs as root only if it is told so by name.
    ...(process.getuid?.() === 0 ? ['--user=root'] : []),
    `--basedir=${base}`,
    `--lc-messages-dir=${share}`,
    `--datadir=${dataDir}`,
    // Its own: a server that starts removes every temporary table that it finds, also those of one that is at work.
    // Named from the data, where it goes to: a colon in an absolute path would separate two of them.
    `--tmpdir=../${basename(temporaryFolder(dataDir))}`,
    '--innodb-log-file-size=16M',
    '--innodb-buffer-pool-size=64M',
  ]
}

/**
 * Makes empty data with one account, that of a superuser with a random password who connects from this machine.
 *
 * The server's program makes it itself from the statements that come with it: the script that does so usually needs
 * more programs than Debian's core package has. It is made beside `dataDir` and moved there when it is whole, so that
 * a start that was killed half-way leaves nothing that looks like data.
 */
export async function createData(binary: MariadbBinary, dataDir: string, database: string): Promise<void> {
  const unfinished = `${dataDir}.new`
  rmSync(unfinished, { recursive: true, force: true })
  for (const folder of [unfinished, temporaryFolder(unfinished)]) mkdirSync(folder, { recursive: true, mode: 0o700 })
  const password = randomBytes(18).toString('base64url')
  writeFileSync(passwordFile(dataDir), `${password}\n`, { mode: 0o600 })
  const account = `${MARIADB_USER}@127.0.0.1`
  const statements = [
    'create database mysql;',
    'use mysql;',
    'set @auth_root_socket = null, @skip_auth_anonymous = 1;',
    ...systemTables(binary.share).map((file) => (file === undefined ? '' : readFileSync(file, 'utf8'))),
    // They have no password.
    "delete from mysql.global_priv where User = 'root';",
    'delete from mysql.proxies_priv;',
    'flush privileges;',
    `create user ${account} identified by '${password}';`,
    `grant all on *.* to ${account} with grant option;`,
    `create database ${database} character set utf8mb4 collate utf8mb4_bin;`,
  ]
  const failure = await bootstrap(binary, unfinished, statements.join('\n'))
  rmSync(temporaryFolder(unfinished), { recursive: true, force: true })
  if (failure !== undefined) {
    rmSync(unfinished, { recursive: true, force: true })
    throw new PostcommitError('POSTCOMMIT_SERVER_START_FAILED', {
      server: 'MariaDB',
      reason: failure,
      log: dataDir,
      variable: 'MARIADB_URL',
    })
  }
  renameSync(unfinished, dataDir)
}

/** Runs statements in a server that serves nobody. Returns undefined, or what it says is wrong. */
function bootstrap(binary: MariadbBinary, dataDir: string, statements: string): Promise<string | undefined> {
  const child = spawn(binary.path, [...mariadbArgs(binary, dataDir), '--bootstrap', '--skip-networking'], {
    cwd: dirname(dataDir),
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
  })
  // It may end before it has read everything, and then says why.
  child.stdin.on('error', () => {})
  child.stdin.end(statements)
  return new Promise((done) => {
    child.once('error', (error) => done(error.message))
    child.once('close', (code) => {
      const errors = errorLines(output)
      // It goes on after a statement that failed, and ends as if nothing had been.
      done(code === 0 && errors === '' ? undefined : errors || `${binary.path} ended with ${code}`)
    })
  })
}

/** What it says is wrong, without the timestamps and the progress messages around it. */
export function errorLines(output: string): string {
  return output
    .split('\n')
    .filter((line) => /\[ERROR\]|^ERROR/.test(line))
    .map((line) => line.replace(/^.*\[ERROR\] /, ''))
    .join('; ')
}

/** Where its temporary tables are, beside the data. */
export function temporaryFolder(dataDir: string): string {
  return `${dataDir}.tmp`
}

function passwordFile(dataDir: string): string {
  return `${dataDir}.password`
}
