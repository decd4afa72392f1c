import { describe, expect, test } from 'vitest'
import { drawGid } from './gid.ts'
import { parseGid } from './protocol/gid.ts'

describe('drawGid', () => {
  test('draws UUIDs of version 7 that sort by time and never repeat', () => {
    const gids = Array.from({ length: 1000 }, (_, n) => drawGid(1_700_000_000_000 + n))
    for (const gid of gids) {
      expect(parseGid(gid)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    }
    expect(gids.toSorted()).toEqual(gids)
    expect(new Set(Array.from({ length: 1000 }, () => drawGid(0))).size).toBe(1000)
    expect(Number.parseInt(drawGid(1_700_000_000_000).replace('-', '').slice(0, 12), 16)).toBe(1_700_000_000_000)
  })
})
