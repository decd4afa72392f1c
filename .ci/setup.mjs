// Everything that demo, tests and check need on a bare machine: packages, nats-server, a build. Does only what is
// missing, so that nothing is lost by running it each time.
//
//   --packages-only   no server and no build: for `npm run check`
//   --need-nats       fail if there is no nats-server: for the tests

import { build, isBuilt } from './build.mjs'
import { canInstallNatsServer, hasNatsServer, installNatsServer, natsInstallCommand } from './nats-server.mjs'
import { arePackagesInstalled, installPackages } from './packages.mjs'

const NODE_MIN = [20, 19]
const packagesOnly = process.argv.includes('--packages-only')
const needNats = process.argv.includes('--need-nats')

try {
  checkNode()
  await Promise.all([packages(), packagesOnly ? undefined : natsServer()])
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

async function natsServer() {
  if (hasNatsServer()) return
  let reason
  if (canInstallNatsServer({ evenIfRefused: needNats })) {
    reason = await timed('installing nats-server (Debian package)', installNatsServer)
    if (reason === undefined) return
  }
  const missing = `There is no nats-server on this machine${reason === undefined ? '' : ` (${reason})`}. To install it: ${natsInstallCommand()}`
  if (needNats) throw new Error(`The tests need nats-server. ${missing}`)
  console.log(missing)
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
