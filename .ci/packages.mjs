// Installs what package-lock.json says, if that is not what is installed.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Compares by content: dates say nothing after a clone, a checkout or an `npm install`. */
export function arePackagesInstalled() {
  const installedFile = join(root, 'node_modules/.package-lock.json')
  if (!existsSync(installedFile)) return false
  const wanted = readPackages(join(root, 'package-lock.json'))
  const installed = readPackages(installedFile)
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '' || !path.startsWith('node_modules/')) return true
    if (entry.link) return existsSync(join(root, path))
    const found = installed[path]
    // Packages for other platforms are left out.
    return found === undefined ? entry.optional === true : found.version === entry.version
  })
}

/**
 * `npm ci`. Without install scripts: the only ones that matter make links for the embedded PostgreSQL, which makes them
 * itself when it starts.
 */
export function installPackages() {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  return new Promise((done, fail) => {
    const child = spawn(npm, ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: process.platform === 'win32',
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
    child.once('error', fail)
    child.once('close', (code) =>
      code === 0 ? done() : fail(new Error(`npm ci ended with ${code}:\n${firstLines(output)}`)),
    )
  })
}

/** npm says first what is wrong, and then much about itself. */
function firstLines(output) {
  return output.split('\n').slice(0, 20).join('\n')
}

function readPackages(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages
}
