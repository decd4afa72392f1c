import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** A nats-server that runs on this machine. */
export interface NatsBinary {
  readonly path: string
  /** For example `2.9.10`. */
  readonly version: string
}

// Debian puts it in /usr/sbin, which is not on the PATH of everybody.
const USUAL_FOLDERS = ['/usr/sbin', '/usr/local/bin', '/opt/homebrew/bin']

/** Finds nats-server on PATH or where package managers put it. */
export function findNatsServer(): NatsBinary | undefined {
  const name = process.platform === 'win32' ? 'nats-server.exe' : 'nats-server'
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), ...USUAL_FOLDERS]) {
    const path = join(folder, name)
    if (folder === '' || !existsSync(path)) continue
    const version = natsVersion(path)
    if (version !== undefined) return { path, version }
  }
  return undefined
}

/** Asks the program for its version; undefined if it is not a nats-server that runs here. */
export function natsVersion(path: string): string | undefined {
  const answer = spawnSync(path, ['--version'], { encoding: 'utf8' })
  return /nats-server: v(\S+)/.exec(answer.stdout ?? '')?.[1]
}

/** What to type on this machine to get nats-server. */
export function natsInstallCommand(): string {
  if (process.platform === 'darwin') return 'brew install nats-server'
  if (existsSync('/usr/bin/apt-get')) {
    return process.getuid?.() === 0 ? 'apt-get install -y nats-server' : 'sudo apt-get install -y nats-server'
  }
  return 'download it from https://nats.io/download/'
}
