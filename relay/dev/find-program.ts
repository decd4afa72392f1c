import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** A server's program that runs on this machine. */
export interface ServerBinary {
  readonly path: string
  /** For example `10.11.19`. */
  readonly version: string
}

/** A server's program, wherever a package manager may have put it. */
export interface ServerProgram {
  readonly name: string
  /** What it answers to `--version`, with the version as the first group. */
  readonly version: RegExp
  /** The package that has it, as each package manager calls it. */
  readonly packages: { readonly debian: string; readonly homebrew: string }
  /** Where to read on, for everybody else. */
  readonly site: string
}

// Debian puts servers in /usr/sbin, which is not on the PATH of everybody.
const USUAL_FOLDERS = ['/usr/sbin', '/usr/local/bin', '/opt/homebrew/bin']

/** Finds a program on PATH or where package managers put it. */
export function findProgram(program: ServerProgram): ServerBinary | undefined {
  const file = process.platform === 'win32' ? `${program.name}.exe` : program.name
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), ...USUAL_FOLDERS]) {
    const path = join(folder, file)
    if (folder === '' || !existsSync(path)) continue
    const version = versionOf(program, path)
    if (version !== undefined) return { path, version }
  }
  return undefined
}

/** Asks the program for its version; undefined if it is another one or does not run here. */
export function versionOf({ version }: ServerProgram, path: string): string | undefined {
  const answer = spawnSync(path, ['--version'], { encoding: 'utf8' })
  return version.exec(answer.stdout ?? '')?.[1]
}

/** What to type on this machine to get the program. */
export function installCommand({ packages, site }: ServerProgram): string {
  if (process.platform === 'darwin') return `brew install ${packages.homebrew}`
  if (existsSync('/usr/bin/apt-get')) {
    const install = `apt-get install -y --no-install-recommends ${packages.debian}`
    return process.getuid?.() === 0 ? install : `sudo ${install}`
  }
  return `download it from ${site}`
}
