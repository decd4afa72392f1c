import { expect, test } from 'vitest'
import { checkVersion } from './check-nats.ts'

test.each([
  ['2.8.4', 'fail'],
  ['2.9.10', 'warn'],
  ['2.10.7', 'ok'],
  ['2.10.8', 'warn'],
  ['2.10.14', 'warn'],
  ['2.10.19', 'warn'],
  ['2.10.20', 'fail'],
  ['2.10.22', 'fail'],
  ['2.10.23', 'warn'],
  ['2.10.29', 'warn'],
  ['2.10.30', 'warn'],
  ['2.11.0', 'ok'],
  ['2.12.1', 'ok'],
  ['3.0.0-beta', 'ok'],
  ['unknown', 'warn'],
])('nats-server %s: %s', (version, status) => {
  expect(checkVersion(version).status).toBe(status)
})

test('a version that stages ids is named with what to run instead, and what was not tried is said so', () => {
  expect(checkVersion('2.10.14')).toMatchObject({ action: expect.stringContaining('2.11') })
  expect(checkVersion('2.10.14').detail).not.toContain('not tried')
  expect(checkVersion('2.10.30').detail).toContain('not tried')
})
