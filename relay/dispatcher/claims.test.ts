import { expect, test } from 'vitest'
import { Claims } from './claims.ts'

test('a claim is uncertain until its statement has answered', () => {
  const claims = new Claims()
  claims.opening('a')
  expect(claims.uncertain()).toEqual(['a'])
  claims.opened('a', 2)
  expect(claims.uncertain()).toEqual([])
  expect(claims.all()).toEqual(['a'])
})

test('a claim is held until its last delivery is recorded', () => {
  const claims = new Claims()
  claims.opening('a')
  claims.opened('a', 2)
  claims.recorded('a')
  expect(claims.all()).toEqual(['a'])
  claims.recorded('a')
  expect(claims.all()).toEqual([])
})

test('a claim that got nothing is not held', () => {
  const claims = new Claims()
  claims.opening('a')
  claims.opened('a', 0)
  expect(claims.all()).toEqual([])
})

test('a claim is finished with its last delivery, until the database has forgotten it', () => {
  const claims = new Claims()
  claims.opening('a')
  claims.opened('a', 2)
  claims.recorded('a')
  expect(claims.finished()).toEqual([])
  claims.recorded('a')
  expect(claims.finished()).toEqual(['a'])
  claims.forgotten(['a'])
  expect(claims.finished()).toEqual([])
})

test('what is uncertain may be held, until it has been given back', () => {
  const claims = new Claims()
  claims.opening('a')
  claims.opening('b')
  claims.opened('b', 1)
  expect(claims.all()).toEqual(['b', 'a'])
  claims.givenBack(['a'])
  expect(claims.all()).toEqual(['b'])
})
