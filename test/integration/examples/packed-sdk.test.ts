import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { builtPackages } from '../../support/built-packages.ts'
import { privateFolder } from '../../support/private-servers.ts'
import { repositoryFolder } from '../../support/repository-folder.ts'

const COMPILER_OPTIONS = {
  target: 'ES2023',
  module: 'NodeNext',
  strict: true,
  exactOptionalPropertyTypes: true,
  noEmit: true,
  types: ['node'],
  // The declarations of the SDK are checked too: what they import has to be there for a user.
  skipLibCheck: false,
}

/** A project of somebody else, with nothing in it but the SDK as it would be downloaded. */
let project: string

beforeAll(async () => {
  await builtPackages()
  project = await privateFolder('project')
  const [{ filename } = { filename: '' }] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', project], {
      cwd: repositoryFolder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  ) as { filename: string }[]
  writeFileSync(join(project, 'package.json'), '{ "name": "somebody", "private": true, "type": "module" }')
  execFileSync('npm', ['install', '--offline', '--ignore-scripts', join(project, filename)], {
    cwd: project,
    stdio: 'ignore',
  })
})

function compile(program: string): string {
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: COMPILER_OPTIONS, files: ['main.ts'] }),
  )
  writeFileSync(join(project, 'main.ts'), program)
  const compiler = join(repositoryFolder, 'node_modules/typescript/bin/tsc')
  return spawnSync(process.execPath, [compiler, '-p', project], { cwd: project, encoding: 'utf8' }).stdout
}

/** What the service would have installed besides, from this repository. */
function link(...names: readonly string[]): void {
  for (const name of names) {
    const place = join(project, 'node_modules', name)
    if (existsSync(place)) continue
    mkdirSync(dirname(place), { recursive: true })
    symlinkSync(join(repositoryFolder, 'node_modules', name), place)
  }
}

test('it comes alone', () => {
  const installed = readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.'))
  expect(installed).toEqual(['postcommit'])
})

test('every entry can be imported without a database client or a broker client', () => {
  const program = `for (const entry of ['postcommit', 'postcommit/protocol', 'postcommit/nats']) await import(entry)`
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: project,
    encoding: 'utf8',
  })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
})

test('its types need nothing but those of Node', () => {
  link('@types/node', 'undici-types')
  const program = `
    import { createOutbox, createInbox, handler } from 'postcommit'
    import { subscribe } from 'postcommit/nats'
    import { ERRORS } from 'postcommit/protocol'
    export { createOutbox, createInbox, handler, subscribe, ERRORS }`
  expect(compile(program)).toBe('')
})

test('the example in the README compiles', () => {
  link('@types/node', 'undici-types', 'pg', '@types/pg', 'kysely', 'zod', 'pg-protocol', 'pg-types')
  const readme = readFileSync(join(repositoryFolder, 'README.md'), 'utf8')
  const [, example = ''] = /^```ts\n([\s\S]*?)^```/m.exec(readme) ?? []
  expect(example).toContain('createOutbox')
  expect(compile(example)).toBe('')
})
