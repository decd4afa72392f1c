import { expect, test } from 'vitest'
import { PreparedHere } from './recently-prepared.ts'

const message = (id: string) => ({ id, isKeyed: false })

test('a message is remembered until it is taken, for its tenant', () => {
  const here = new PreparedHere()
  here.keep({ tenant: 'a', gid: 'g' }, message('1'))
  expect(here.take({ tenant: 'b', gid: 'g' })).toBeUndefined()
  expect(here.take({ tenant: 'a', gid: 'g' })).toEqual(message('1'))
  expect(here.take({ tenant: 'a', gid: 'g' })).toBeUndefined()
})

test('the oldest are forgotten, and one that is prepared again takes no more room', () => {
  const here = new PreparedHere()
  here.keep({ tenant: 'a', gid: 'first' }, message('1'))
  for (let n = 0; n < 20_000; n += 1) here.keep({ tenant: 'a', gid: `g${n % 10_000}` }, message(String(n)))
  expect(here.size).toBe(10_000)
  expect(here.take({ tenant: 'a', gid: 'first' })).toBeUndefined()
  expect(here.take({ tenant: 'a', gid: 'g0' })).toEqual(message('10000'))
})
