import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { closingLine } from '../../support/closing-line.ts'
import { repositoryFolder } from '../../support/repository-folder.ts'
import { CASES } from './cases.ts'

const reporter = join(repositoryFolder, 'test/support/closing-line.ts')
let folder: string

beforeAll(() => {
  // Inside the repository, or the files would not find vitest.
  folder = mkdtempSync(join(repositoryFolder, 'node_modules', '.cache-closing-line-'))
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

function run(files: Record<string, string>, settings = ''): { lastLine: string; status: number | null } {
  const project = mkdtempSync(join(folder, 'run-'))
  const config = `{ root: ${JSON.stringify(project)}, test: { globals: true, include: ['*.ts'], exclude: ['config.ts'],
    reporters: ['default', ${JSON.stringify(reporter)}], ${settings} } }`
  writeFileSync(join(project, 'config.ts'), `export default ${config}`)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(project, name), text)
  const vitest = join(repositoryFolder, 'node_modules/vitest/vitest.mjs')
  const { stdout, status } = spawnSync(process.execPath, [vitest, 'run', '--config', join(project, 'config.ts')], {
    encoding: 'utf8',
  })
  return { lastLine: stdout.trimEnd().split('\n').at(-1) ?? '', status }
}

test('counts everything that can go wrong as failed', () => {
  const totals = { passed: 0, failed: 0, skipped: 0 }
  for (const { adds } of Object.values(CASES)) {
    totals.passed += adds.passed
    totals.failed += adds.failed
    totals.skipped += adds.skipped
  }
  const files = Object.fromEntries(Object.entries(CASES).map(([name, { text }]) => [name, text]))
  expect(run(files)).toEqual({ lastLine: closingLine(totals), status: 1 })
})

test('a run that cannot start has failed', () => {
  const files = { 'one.ts': `test('one', () => {})` }
  expect(run(files, `globalSetup: ['./missing.ts']`)).toEqual({ lastLine: '0 passed, 1 failed', status: 1 })
})

test('a run without faults ends with 0', () => {
  const files = { 'one.ts': `test('one', () => {})` }
  expect(run(files)).toEqual({ lastLine: '1 passed, 0 failed', status: 0 })
})
