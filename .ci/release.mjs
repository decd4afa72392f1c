// Prepares a release of both packages under one version:
//
//   npm run release -- 0.2.0              versions, changelog, lock file; pack and publish tried; SBOM written
//   npm run release -- 0.2.0 --dry-run    the same checks; no file is changed
//
// Nothing is committed and nothing is published: the last lines say which commands do that.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const FOLDERS = ['.', 'relay']
const [version, ...flags] = process.argv.slice(2)
const dryRun = flags.includes('--dry-run')

try {
  const current = json('package.json').version
  checkVersion(current)
  const changelog = released(text('CHANGELOG.md'))
  if (!dryRun) {
    checkCleanTree()
    for (const folder of FOLDERS) setVersion(`${folder}/package.json`)
    writeFileSync(`${root}CHANGELOG.md`, changelog)
    run('npm', ['install', '--package-lock-only', '--ignore-scripts'])
    run('node', ['.ci/lock-platforms.mjs'])
  }
  run('npx', ['tsc', '-b', 'src', 'relay'])
  mkdirSync(`${root}temp`, { recursive: true })
  for (const folder of FOLDERS) tryPackage(folder)
  writeSbom()
  console.log(dryRun ? `\n${version} could be released.` : nextSteps())
} catch (error) {
  console.error(error.message)
  process.exit(1)
}

function checkVersion(current) {
  if (version === undefined || !/^\d+\.\d+\.\d+(-[a-z]+\.\d+)?$/.test(version)) {
    throw new Error('Give the new version: npm run release -- 0.2.0 [--dry-run]')
  }
  const [now, next] = [current, version].map((text) => text.split(/[.-]/).slice(0, 3).map(Number))
  const place = next.findIndex((number, index) => number !== now[index])
  if (place < 0 || next[place] < now[place]) throw new Error(`${version} is not newer than ${current}.`)
}

function checkCleanTree() {
  const changed = output('git', ['status', '--porcelain'])
  if (changed !== '') throw new Error(`Commit or remove these changes first:\n${changed}`)
}

/** The changelog with what is unreleased under the new version. */
function released(changelog) {
  const heading = '## [Unreleased]'
  const [before, after] = changelog.split(`${heading}\n`)
  const [entries] = (after ?? '').split(/^## \[/m)
  if (!/^- /m.test(entries)) throw new Error(`CHANGELOG.md has no entry under ${heading}.`)
  const today = new Date().toISOString().slice(0, 10)
  return `${before}${heading}\n\n## [${version}] - ${today}\n${after}`
}

function setVersion(path) {
  const manifest = json(path)
  manifest.version = version
  if (manifest.dependencies?.postcommit !== undefined) manifest.dependencies.postcommit = version
  writeFileSync(`${root}${path}`, `${JSON.stringify(manifest, null, 2)}\n`)
}

function tryPackage(folder) {
  const { name } = json(`${folder}/package.json`)
  const publishFlags = ['--dry-run', '--provenance=false', '--access', 'public']
  run('npm', ['publish', ...publishFlags, ...(folder === '.' ? [] : ['--workspace', name])])
}

/** One for both: the relay depends on the SDK, which depends on nothing. */
function writeSbom() {
  const sbom = output('npm', [
    'sbom',
    '--sbom-format',
    'cyclonedx',
    '--omit',
    'dev',
    '--workspace',
    '@postcommit/relay',
  ])
  const file = `temp/postcommit-${version}.cdx.json`
  writeFileSync(`${root}${file}`, sbom)
  console.log(`SBOM: ${file}`)
}

function nextSteps() {
  return `
Next: npm run check && npm test
      git commit -am 'Release ${version}' && git tag v${version}
      npm publish && npm publish --workspace relay   # postcommit first: the relay depends on it`
}

function text(path) {
  return readFileSync(`${root}${path}`, 'utf8')
}

function json(path) {
  return JSON.parse(text(path))
}

function run(program, args) {
  execFileSync(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
}

function output(program, args) {
  return execFileSync(program, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
}
