import type { Gid } from 'postcommit/protocol'
import { expect, test } from 'vitest'
import { handIn } from './hand-in.ts'
import { PreparedHere, type PreparedMessage } from './prepared-here.ts'

function message(gid: string, { payload = '{}', key }: { payload?: string; key?: string } = {}): PreparedMessage {
  const branch = { branch: '1', ops: { action: { destination: 'stock', path: '/' } }, payload }
  const branches = [key === undefined ? branch : { ...branch, key }]
  const defaults = { checkAfterMs: 1000, deadlineMs: 1000 }
  const content = handIn({ tenant: 'a', gid: gid as Gid }, { mode: 'msg', branches }, 'prepared', defaults)
  return { id: `of ${gid}`, content }
}

test('a message is remembered until it is taken, for its tenant', () => {
  const here = new PreparedHere()
  here.keep(message('g'))
  expect(here.take({ tenant: 'b', gid: 'g' })).toBeUndefined()
  expect(here.take({ tenant: 'a', gid: 'g' })?.id).toBe('of g')
  expect(here.take({ tenant: 'a', gid: 'g' })).toBeUndefined()
})

test('one with a key is not: who comes before it changes', () => {
  const here = new PreparedHere()
  here.keep(message('g', { key: 'order-1' }))
  expect(here.size).toBe(0)
})

test('one that is prepared again takes no more room', () => {
  const here = new PreparedHere()
  const large = message('g', { payload: 'x'.repeat(7 << 20) })
  for (let n = 0; n < 5; n += 1) here.keep(large)
  expect(here.take({ tenant: 'a', gid: 'g' })).toBe(large)
})

test('of too many, and of too large ones, the oldest are forgotten', () => {
  const here = new PreparedHere()
  for (let n = 0; n < 5000; n += 1) here.keep(message(`g${n}`))
  expect(here.size).toBe(4000)
  expect(here.take({ tenant: 'a', gid: 'g999' })).toBeUndefined()
  expect(here.take({ tenant: 'a', gid: 'g1000' })).toBeDefined()
  for (let n = 0; n < 3; n += 1) here.keep(message(`large${n}`, { payload: 'x'.repeat(7 << 20) }))
  expect(here.size).toBe(2)
  for (let n = 1; n < 3; n += 1) here.take({ tenant: 'a', gid: `large${n}` })
  for (let n = 0; n < 5000; n += 1) here.keep(message(`h${n}`))
  expect(here.size).toBe(4000)
})
