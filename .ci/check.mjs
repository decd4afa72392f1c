// Runs every `check:*` script of package.json, two at a time, and prints a line for each and the output of those that
// fail.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const steps = Object.keys(scripts).filter((name) => name.startsWith('check:'))
const startedAt = Date.now()
const failed = []

const COMPILER = 'check:types'
// These read sources alone; the others read what the compiler writes.
const sourceSteps = steps.filter((name) => /promises|format|dead-code/.test(name))
const outputSteps = steps.filter((name) => name !== COMPILER && !sourceSteps.includes(name))

const compiled = run(COMPILER)
await Promise.all([
  compiled.then(() => drain(outputSteps)),
  drain(sourceSteps)
    .then(() => compiled)
    .then(() => drain(outputSteps)),
])

const total = seconds(startedAt)
console.log(
  failed.length === 0 ? `all ${steps.length} checks passed in ${total}` : `failed: ${failed.join(', ')} (${total})`,
)
process.exit(failed.length === 0 ? 0 : 1)

async function drain(names) {
  for (let name = names.shift(); name !== undefined; name = names.shift()) await run(name)
}

async function run(name) {
  const stepStartedAt = Date.now()
  const { code, output } = await execute(scripts[name])
  const label = name.slice('check:'.length)
  console.log(`${code === 0 ? 'ok    ' : 'FAILED'} ${seconds(stepStartedAt).padStart(7)}  ${label}`)
  if (code === 0) return
  failed.push(label)
  console.log(`${output.trimEnd()}\n`)
}

/** As npm would run it, without npm's start-up time. */
function execute(command) {
  return new Promise((done) => {
    const child = spawn(command, {
      cwd: root,
      shell: true,
      env: {
        ...process.env,
        PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH}`,
        NO_COLOR: '1',
        FORCE_COLOR: '0',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
    child.once('error', (error) => done({ code: 1, output: String(error) }))
    child.once('close', (code) => done({ code, output }))
  })
}

function seconds(since) {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`
}
