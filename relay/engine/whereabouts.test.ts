import { describe, expect, test } from 'vitest'
import { doubtOf, originOf } from './whereabouts.ts'

describe('originOf', () => {
  const here = { systemIdentifier: '7', databaseOid: '5', timeline: 3 }
  test.each([
    [here, undefined],
    [{ ...here, timeline: 1 }, undefined],
    // No relay has taken part: there is no position that could mean something else here.
    [{ ...here, databaseOid: null }, undefined],
    [{ ...here, databaseOid: '6' }, 'another database'],
    [{ ...here, systemIdentifier: '8' }, 'another PostgreSQL cluster'],
    [{ ...here, systemIdentifier: '8', databaseOid: null }, 'another PostgreSQL cluster'],
  ])('%j was written in %s', (remembered, origin) => expect(originOf(remembered, here)).toBe(origin))
})

describe('doubtOf', () => {
  const seen = { timeline: 1, flushed: 1000n }
  const gone = { id: '4', gid: 'g', branch: 2, createdMs: '0' }

  test.each([
    ['the same', seen, seen],
    ['a longer log', seen, { timeline: 1, flushed: 1001n }],
    // What is not known is no reason.
    ['nothing before', { timeline: null, flushed: null }, seen],
    ['nothing now', seen, { timeline: null, flushed: null }],
    ['no length before', { timeline: 1, flushed: null }, seen],
  ])('%s: there is none', (_, before, now) => expect(doubtOf(before, now, [])).toBeUndefined())

  test('a shorter log, another timeline, and what is gone', () => {
    expect(doubtOf(seen, { timeline: 1, flushed: 999n }, [])).toContain('shorter')
    expect(doubtOf(seen, { timeline: 2, flushed: 999n }, [])).toBe('a standby was promoted (timeline 1 to 2)')
    expect(doubtOf(seen, seen, [gone])).toBe('what was handed on is not there any more: g:2')
    expect(doubtOf(seen, { timeline: 2, flushed: 2000n }, [gone, gone])).toMatch(/promoted.*; .*g:2 and 1 more/)
  })
})
