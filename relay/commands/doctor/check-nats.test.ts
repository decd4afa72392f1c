import { expect, test } from 'vitest'
import { checkVersion } from './check-nats.ts'

test.each([
  ['2.8.4', 'fail'],
  ['2.9.10', 'warn'],
  ['2.10.19', 'ok'],
  ['2.10.20', 'fail'],
  ['2.10.22', 'fail'],
  ['2.10.23', 'ok'],
  ['2.12.1', 'ok'],
  ['3.0.0-beta', 'ok'],
])('nats-server %s: %s', (version, status) => {
  expect(checkVersion(version).status).toBe(status)
})
