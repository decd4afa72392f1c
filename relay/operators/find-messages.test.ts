import { expect, test } from 'vitest'
import { drawnAtMs } from './find-messages.ts'

test.each([
  ['01a1fe11-d913-7d9f-8166-1d61a3cf8325', 1_795_263_944_979],
  // Version 4, a gid of the caller's own, and neither.
  ['f81d4fae-7dec-41d0-a765-00a0c91e6bf6', undefined],
  ['order-4711', undefined],
  ['', undefined],
])('drawnAtMs(%s)', (gid, milliseconds) => {
  expect(drawnAtMs(gid)).toBe(milliseconds)
})
