// Adds to package-lock.json the builds for other platforms of optional native packages. npm leaves out those that its
// registry does not serve, and `npm ci` then refuses the whole file, on every platform: `npm run lock` after an install.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const file = fileURLToPath(new URL('../package-lock.json', import.meta.url))
const SYSTEMS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32']
const PROCESSORS = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64']

const lock = JSON.parse(readFileSync(file, 'utf8'))
const added = {}
for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const path = `node_modules/${name}`
    if (lock.packages[path] === undefined && /^\d/.test(version)) added[path] = buildOf(entry, name, version)
  }
}
const entries = Object.entries({ ...lock.packages, ...added }).sort(([a], [b]) => a.localeCompare(b, 'en'))
writeFileSync(file, `${JSON.stringify({ ...lock, packages: Object.fromEntries(entries) }, null, 2)}\n`)
console.log(`added ${Object.keys(added).length} builds for other platforms`)

/** As npm writes it, less the digest, which only the registry knows. The name says what it is for. */
function buildOf(parent, name, version) {
  const words = name.split('/').at(-1).split('-')
  const libc = words.some((word) => word.startsWith('musl'))
    ? ['musl']
    : words.some((word) => word.startsWith('gnu'))
      ? ['glibc']
      : undefined
  return {
    version,
    cpu: words.filter((word) => PROCESSORS.includes(word)),
    ...(parent.dev ? { dev: true } : {}),
    ...(libc === undefined ? {} : { libc }),
    license: parent.license,
    optional: true,
    os: words.filter((word) => SYSTEMS.includes(word)),
    engines: parent.engines,
  }
}
