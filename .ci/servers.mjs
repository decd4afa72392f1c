// Finds the servers that demo and tests run, and installs Debian's packages where that needs nobody's password.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const CACHE = fileURLToPath(new URL('../node_modules/.cache', import.meta.url))
const POLICY = '/usr/sbin/policy-rc.d'
const RETRY_AFTER_MS = 3_600_000
const APT_TIMEOUT_MS = 150_000
/** An unreachable mirror must not hold up a demo that can do without. */
const APT = ['-q', '-o', 'Acquire::http::Timeout=20', '-o', 'Acquire::Retries=1', '-o', 'DPkg::Lock::Timeout=60']

/** Where package managers put them; Debian's folder is not on everybody's PATH. */
const USUAL_FOLDERS = ['/usr/sbin', '/usr/local/bin', '/opt/homebrew/bin']

/** The program of each server, and the package that has it. MariaDB's core package has the server and no service. */
export const SERVERS = {
  nats: { program: 'nats-server', debian: 'nats-server', homebrew: 'nats-server' },
  mariadb: { program: 'mariadbd', debian: 'mariadb-server-core', homebrew: 'mariadb' },
  redis: { program: 'redis-server', debian: 'redis-server', homebrew: 'redis' },
}

/** Those of `servers` that are not on this machine, or do not run. */
export function missingServers(servers) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...USUAL_FOLDERS]
  return servers.filter(({ program }) => {
    const file = process.platform === 'win32' ? `${program}.exe` : program
    return !folders
      .map((folder) => join(folder, file))
      .some((path) => existsSync(path) && spawnSync(path, ['--version']).status === 0)
  })
}

/** What to type on this machine to get them. */
export function installCommand(servers) {
  if (process.platform === 'darwin') return `brew install ${servers.map(({ homebrew }) => homebrew).join(' ')}`
  const packages = servers.map(({ debian }) => debian).join(' ')
  if (isDebian())
    return `${process.getuid() === 0 ? '' : 'sudo '}apt-get install -y --no-install-recommends ${packages}`
  return `the package that has ${servers.map(({ program }) => program).join(', ')}, or a download from its project`
}

/** Whether they can be installed without asking, and were not refused within the last hour. */
export function canInstall(servers, { evenIfRefused }) {
  if (process.platform !== 'linux' || !isDebian() || process.getuid() !== 0) return false
  const refused = refusal(servers)
  if (evenIfRefused || !existsSync(refused)) return true
  return Date.now() - statSync(refused).mtimeMs > RETRY_AFTER_MS
}

/** Installs Debian's packages. Returns undefined, or why they could not be installed. */
export async function installServers(servers) {
  const release = forbidServices()
  try {
    await apt(['update'])
    await apt(['install', '-y', '--no-install-recommends', ...servers.map(({ debian }) => debian)])
    // Nor at the next boot: demo and tests start servers of their own.
    if (existsSync('/run/systemd/system')) spawnSync('systemctl', ['disable', ...servers.map(({ debian }) => debian)])
    rmSync(refusal(servers), { force: true })
    return missingServers(servers).length === 0 ? undefined : 'the packages do not contain them'
  } catch (error) {
    mkdirSync(dirname(refusal(servers)), { recursive: true })
    writeFileSync(refusal(servers), error.message)
    return error.message
  } finally {
    release()
  }
}

function refusal(servers) {
  return join(CACHE, `refused-${servers.map(({ program }) => program).join('-')}`)
}

/** Debian starts the service of a package it installs, unless this file, made for that purpose, says no. */
function forbidServices() {
  if (existsSync(POLICY)) return () => {}
  writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  return () => rmSync(POLICY, { force: true })
}

function apt(words) {
  return new Promise((done, fail) => {
    const child = spawn('apt-get', [...APT, ...words], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: APT_TIMEOUT_MS,
    })
    let errors = ''
    child.stderr.on('data', (chunk) => (errors += chunk))
    child.once('error', fail)
    child.once('close', (code, signal) => {
      const why = errors.split('\n').find((line) => line.startsWith('E: ')) ?? ''
      if (code === 0) done()
      else fail(new Error(`apt-get ${words[0]} ended with ${signal ?? code} ${why}`.trim()))
    })
  })
}

function isDebian() {
  if (!existsSync('/usr/bin/apt-get') || !existsSync('/etc/os-release')) return false
  return /^ID(_LIKE)?=.*\b(debian|ubuntu)\b/m.test(readFileSync('/etc/os-release', 'utf8'))
}
