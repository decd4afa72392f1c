import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assignShards } from './assign-shards.ts'

const owned = (...owners: (string | undefined)[]) => owners.map((owner, shard) => ({ shard, owner, epoch: '1' }))

describe('assignShards', () => {
  test('a single relay takes everything', () => {
    expect(assignShards(owned(undefined, undefined, undefined), 'a', 1)).toEqual({ take: [0, 1, 2], release: [] })
  })

  test('a relay gives up what is above its share when another joins', () => {
    expect(assignShards(owned('a', 'a', 'a', 'a'), 'a', 2)).toEqual({ take: [], release: [2, 3] })
  })

  test('a relay takes no more than its share', () => {
    expect(assignShards(owned('a', 'a', undefined, undefined), 'b', 2)).toEqual({ take: [2, 3], release: [] })
    expect(assignShards(owned('a', 'a', undefined, undefined), 'a', 2)).toEqual({ take: [], release: [] })
  })

  test('from any start, relays that take turns own every shard and then change nothing', () => {
    const relays = ['a', 'b', 'c', 'd']
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...relays, undefined), { minLength: 1, maxLength: 16 }),
        fc.integer({ min: 1, max: 4 }),
        (owners, count) => {
          const alive = relays.slice(0, count)
          const shards = owners.map((owner) => (owner !== undefined && alive.includes(owner) ? owner : undefined))
          for (let round = 0; round < 4; round += 1) {
            for (const relay of alive) {
              const { take, release } = assignShards(owned(...shards), relay, count)
              for (const shard of release) shards[shard] = undefined
              for (const shard of take) shards[shard] = relay
            }
          }
          expect(shards).not.toContain(undefined)
          for (const relay of alive) {
            expect(assignShards(owned(...shards), relay, count)).toEqual({ take: [], release: [] })
          }
        },
      ),
    )
  })
})
