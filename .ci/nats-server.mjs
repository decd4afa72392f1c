// Finds nats-server, and installs Debian's package where that needs nobody's password.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const REFUSED = fileURLToPath(new URL('../node_modules/.cache/nats-server-refused', import.meta.url))
const POLICY = '/usr/sbin/policy-rc.d'
const RETRY_AFTER_MS = 3_600_000
const APT_TIMEOUT_MS = 150_000
/** An unreachable mirror must not hold up a demo that can do without. */
const APT = ['-q', '-o', 'Acquire::http::Timeout=20', '-o', 'Acquire::Retries=1', '-o', 'DPkg::Lock::Timeout=60']

/** Where package managers put it; Debian's folder is not on everybody's PATH. */
const USUAL_FOLDERS = ['/usr/sbin', '/usr/local/bin', '/opt/homebrew/bin']

/** Whether there is a nats-server that runs here. */
export function hasNatsServer() {
  return [...(process.env.PATH ?? '').split(delimiter), ...USUAL_FOLDERS]
    .map((folder) => join(folder, process.platform === 'win32' ? 'nats-server.exe' : 'nats-server'))
    .some((path) => existsSync(path) && spawnSync(path, ['--version']).status === 0)
}

/** What to type on this machine to get it. */
export function natsInstallCommand() {
  if (process.platform === 'darwin') return 'brew install nats-server'
  if (isDebian())
    return `${process.getuid() === 0 ? '' : 'sudo '}apt-get install -y --no-install-recommends nats-server`
  return 'see https://docs.nats.io/running-a-nats-service/introduction/installation'
}

/** Whether it can be installed without asking, and was not refused within the last hour. */
export function canInstallNatsServer({ evenIfRefused }) {
  if (process.platform !== 'linux' || !isDebian() || process.getuid() !== 0) return false
  if (evenIfRefused || !existsSync(REFUSED)) return true
  return Date.now() - statSync(REFUSED).mtimeMs > RETRY_AFTER_MS
}

/** Installs Debian's package. Returns undefined, or why it could not be installed. */
export async function installNatsServer() {
  const release = forbidServices()
  try {
    await apt(['update'])
    await apt(['install', '-y', '--no-install-recommends', 'nats-server'])
    // Nor at the next boot: demo and tests start servers of their own.
    if (existsSync('/run/systemd/system')) spawnSync('systemctl', ['disable', 'nats-server'])
    rmSync(REFUSED, { force: true })
    return hasNatsServer() ? undefined : 'the package does not contain it'
  } catch (error) {
    mkdirSync(dirname(REFUSED), { recursive: true })
    writeFileSync(REFUSED, error.message)
    return error.message
  } finally {
    release()
  }
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
