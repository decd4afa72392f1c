import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { PLANTED } from './faults.ts'
import { plant, ROOT } from './plant.ts'

const PROMISES = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I7', 'I8', 'M1', 'M2', 'M3', 'M4', 'M5', 'M6']

function run(...given: readonly string[]) {
  const program = ['--import', 'tsx', 'test/simulation/planted/planted-faults.ts', ...given]
  return spawnSync(process.execPath, program, { cwd: ROOT, encoding: 'utf8' })
}

test.each(PLANTED)('its text is in one source: $name', (fault) => {
  expect(plant(fault)).toBeDefined()
})

test('there is one for every promise, and in every part that runs', () => {
  expect([...new Set(PLANTED.map(({ breaks }) => breaks))].sort()).toEqual(PROMISES)
  for (const part of ['loop', 'gate', 'hand-over', 'dispatcher', 'back-query', 'decisions', 'statement', 'service']) {
    expect(PLANTED.filter((fault) => fault.part === part)).not.toEqual([])
  }
})

test('those that are quick to be found are found, and nothing without one', { timeout: 180_000 }, () => {
  const { status, stdout, stderr } = run('--quick', '--sound', '100')
  expect({ status, stdout, stderr }).toMatchObject({ status: 0 })
})

test('one that is not found is an error', { timeout: 120_000 }, () => {
  const { status, stdout } = run('--only', 'the loop goes on', '--runs', '1', '--sound', '1')
  expect(stdout).toContain('NOT FOUND')
  expect(status).toBe(1)
})
