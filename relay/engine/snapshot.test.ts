import { describe, expect, test } from 'vitest'
import { LowBounds, parseSnapshot } from './snapshot.ts'

describe('parseSnapshot', () => {
  test('reads xmin, xmax and what is under way between them', () => {
    expect(parseSnapshot('10:20:12,15')).toEqual({ xmin: 10n, xmax: 20n, xip: [12n, 15n] })
  })

  test('reads a snapshot with nothing under way', () => {
    expect(parseSnapshot('1:1:')).toEqual({ xmin: 1n, xmax: 1n, xip: [] })
  })

  test.each(['', '1:2', 'a:b:c', '1:2:3;4'])('refuses %j', (text) => {
    expect(() => parseSnapshot(text)).toThrow('not a pg_snapshot')
  })
})

describe('LowBounds', () => {
  test('starts with what was saved', () => {
    expect(new LowBounds(7n).below(parseSnapshot('5:9:5'))).toBe(7n)
  })

  test('a mark counts only once everything up to its xid has ended', () => {
    const bounds = new LowBounds(0n)
    bounds.add(100n, 50n)
    expect(bounds.below(parseSnapshot('50:60:50'))).toBe(0n)
    expect(bounds.below(parseSnapshot('51:60:'))).toBe(100n)
  })

  test('keeps a usable mark while a long transaction is open', () => {
    const bounds = new LowBounds(0n)
    bounds.add(100n, 50n)
    for (let step = 0; step < 100_000; step += 1) bounds.add(200n + BigInt(step), 1000n + BigInt(step))
    expect(bounds.below(parseSnapshot('60:200000:60'))).toBe(100n)
    expect(bounds.below(parseSnapshot('200000:200000:'))).toBe(200n + 99_999n)
  })
})
