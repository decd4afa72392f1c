// Everything that demo, tests and check need on a bare machine: packages, servers, a build. Does only what is
// missing, so that nothing is lost by running it each time.
//
//   --packages-only   no server and no build: for `npm run check`
//   --need-nats       fail if there is no nats-server: for what measures
//   --need-redis      fail if there is no nats-server or Redis: for what uses that too
//   --need-servers    fail if there is no nats-server, MariaDB or Redis: for the tests

import { build, isBuilt } from './build.mjs'
import { arePackagesInstalled, installPackages } from './packages.mjs'
import { canInstall, installCommand, installServers, missingServers, SERVERS } from './servers.mjs'

const NODE_MIN = [20, 19]
const packagesOnly = process.argv.includes('--packages-only')
const needServers = process.argv.includes('--need-servers')
const needRedis = process.argv.includes('--need-redis')
const needed = needServers || needRedis || process.argv.includes('--need-nats')

try {
  checkNode()
  await Promise.all([packages(), packagesOnly ? undefined : servers()])
  if (!packagesOnly) compile()
} catch (error) {
  console.error(error.message)
  process.exit(1)
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])) return
  throw new Error(`This is Node.js ${process.versions.node}; postcommit needs ${NODE_MIN.join('.')} or newer.`)
}

async function packages() {
  if (arePackagesInstalled()) return
  await timed('installing packages (npm ci)', installPackages)
}

async function servers() {
  const wanted = needServers ? Object.values(SERVERS) : [SERVERS.nats, ...(needRedis ? [SERVERS.redis] : [])]
  const missing = missingServers(wanted)
  if (missing.length === 0) return
  const names = missing.map(({ program }) => program).join(' and ')
  let reason
  if (canInstall(missing, { evenIfRefused: needed })) {
    reason = await timed(`installing ${names} (Debian packages)`, () => installServers(missing))
    if (reason === undefined) return
  }
  const why = reason === undefined ? '' : ` (${reason})`
  const message = `There is no ${names} on this machine${why}. To install: ${installCommand(missing)}`
  if (needed) throw new Error(`The tests need servers. ${message}`)
  console.log(message)
}

function compile() {
  if (isBuilt()) return
  const startedAt = Date.now()
  const complaints = build()
  console.log(`built the packages in ${seconds(startedAt)}`)
  // The output is written all the same; `npm run check` is what refuses wrong types.
  if (complaints !== undefined) console.error(`${complaints}The types do not check. Run: npm run check`)
}

async function timed(what, work) {
  console.log(`${what} ...`)
  const startedAt = Date.now()
  const result = await work()
  console.log(`${what}: ${seconds(startedAt)}`)
  return result
}

function seconds(startedAt) {
  return `${((Date.now() - startedAt) / 1000).toFixed(1)} s`
}
