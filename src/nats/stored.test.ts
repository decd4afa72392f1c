import { expect, test } from 'vitest'
import { readStored } from './stored.ts'

test('an acknowledgement is a stream and a number from 1', () => {
  const stored = { stream: 'DEAD', sequence: 7 }
  expect(readStored({ stream: 'DEAD', seq: 7 })).toEqual(stored)
  expect(readStored({ stream: 'DEAD', seq: 7, duplicate: true, domain: 'hub' })).toEqual(stored)
})

test.each([
  // Of a stream that is full, as every nats-server answers it.
  { error: { code: 503, err_code: 10077, description: 'maximum messages exceeded' }, stream: 'DEAD', seq: 0 },
  // Of a leader that was cut off (2.10.14 to 2.10.29).
  { stream: 'DEAD', seq: 0, duplicate: true },
  { stream: 'DEAD', duplicate: true },
  { stream: 'DEAD' },
  { stream: '', seq: 1 },
  { seq: 1 },
  { stream: 'DEAD', seq: '1' },
  { ok: true },
  'DEAD',
  null,
])('%j is none', (answer) => {
  expect(readStored(answer)).toBeUndefined()
})
