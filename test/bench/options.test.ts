import { expect, test } from 'vitest'
import type { Case } from './case.ts'
import { cases } from './cases.ts'
import { parseOptions, UsageError, usage } from './options.ts'

const named = (name: string, onlyInFull = false): Case => ({
  name,
  title: name,
  onlyInFull,
  run: () => Promise.resolve([]),
})
const [a, b, c] = [named('a'), named('b'), named('c', true)] as const
const all = [a, b, c]

test('without options everything is measured, in full', () => {
  expect(parseOptions([], all)).toEqual({ quick: false, doc: false, json: undefined, cases: all })
})

test('a quick run leaves out what is only in the full one, unless that is named', () => {
  expect(parseOptions(['--quick'], all)).toMatchObject({ quick: true, cases: [a, b] })
  expect(parseOptions(['--quick', '--only', 'c'], all)).toMatchObject({ cases: [c] })
})

test('what is named is measured in the usual order', () => {
  expect(parseOptions(['--only', 'b, a', '--json', 'f'], all)).toMatchObject({ json: 'f', cases: [a, b] })
})

test.for([
  [['--only', 'a,d'], 'There is nothing named "d"; there is a, b, c.'],
  [['--only', ''], 'There is nothing named "";'],
  [['--fast'], "Unknown option '--fast'"],
  [['--json'], 'argument missing'],
  [['more'], "Unexpected argument 'more'"],
  [['--doc', '--quick'], 'a full run of everything'],
  [['--doc', '--only', 'a'], 'a full run of everything'],
] as const)('%j is refused', ([args, why]) => {
  expect(() => parseOptions(args, all)).toThrow(UsageError)
  expect(() => parseOptions(args, all)).toThrow(why)
})

test('help names every case, each of which has a name of its own', () => {
  expect(parseOptions(['-h'], all)).toBe('help')
  const names = cases.map(({ name }) => name)
  expect(usage(cases)).toContain(names.join(', '))
  expect(new Set(names).size).toBe(names.length)
})
