import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LowBounds, type Snapshot } from './snapshot.ts'

/**
 * A small PostgreSQL: transactions draw an xid, then ids, and end; a reader takes snapshots and saves. The snapshot's
 * xmax is one above the newest *ended* xid, as in the real one, so transactions above it can be under way.
 */
interface World {
  nextXid: bigint
  nextId: bigint
  newestEnded: bigint
  readonly open: Map<bigint, bigint[]>
  readonly committed: { xid: bigint; id: bigint }[]
}

function snapshotOf(world: World): Snapshot {
  const xmax = world.newestEnded + 1n
  const xip = [...world.open.keys()].filter((xid) => xid < xmax)
  const xmin = xip.reduce((least, xid) => (xid < least ? xid : least), xmax)
  return { xmin, xmax, xip }
}

const shows = (snapshot: Snapshot, xid: bigint): boolean => xid < snapshot.xmax && !snapshot.xip.includes(xid)

const steps = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('begin' as const) }),
    fc.record({ do: fc.constant('insert' as const), which: fc.nat(7) }),
    fc.record({ do: fc.constant('commit' as const), which: fc.nat(7) }),
    fc.record({ do: fc.constant('read' as const), markBy: fc.constantFrom('save' as const) }),
  ),
  { maxLength: 120 },
)

type Step = { do: 'begin' } | { do: 'insert' | 'commit'; which: number } | { do: 'read' }

/** Runs a history; returns a row that the reader's lower bound would have hidden, if there is one. */
function hiddenRow(history: readonly Step[], mark: (world: World) => bigint) {
  const world: World = { nextXid: 10n, nextId: 1n, newestEnded: 9n, open: new Map(), committed: [] }
  const bounds = new LowBounds(0n)
  let saved = snapshotOf(world)
  let hidden: { xid: bigint; id: bigint } | undefined
  for (const step of history) {
    const open = [...world.open.keys()]
    switch (step.do) {
      case 'begin':
        world.open.set(world.nextXid, [])
        world.nextXid += 1n
        break
      case 'insert': {
        const xid = open[step.which % Math.max(1, open.length)]
        if (xid === undefined) break
        world.open.get(xid)?.push(world.nextId)
        world.nextId += 1n
        break
      }
      case 'commit': {
        const xid = open[step.which % Math.max(1, open.length)]
        if (xid === undefined) break
        for (const id of world.open.get(xid) ?? []) world.committed.push({ xid, id })
        world.open.delete(xid)
        if (xid > world.newestEnded) world.newestEnded = xid
        break
      }
      case 'read': {
        const low = bounds.below(saved)
        hidden ??= world.committed.find(({ xid, id }) => !shows(saved, xid) && id <= low)
        const sequence = world.nextId - 1n
        saved = snapshotOf(world)
        bounds.add(sequence, mark(world))
        break
      }
    }
  }
  return hidden
}

/** Saving a position draws an xid of its own, after the sequence was read. */
function xidOfSave(world: World): bigint {
  const xid = world.nextXid
  world.nextXid += 1n
  if (xid > world.newestEnded) world.newestEnded = xid
  return xid
}

describe('LowBounds', () => {
  test('never hides a row that is still to be read, in any history', () => {
    fc.assert(
      fc.property(steps, (history) => {
        expect(hiddenRow(history as Step[], xidOfSave)).toBeUndefined()
      }),
      { numRuns: 3000 },
    )
  })

  test('the planted fault is caught: marking with the xmax of the snapshot hides rows', () => {
    const wrong = (world: World): bigint => snapshotOf(world).xmax - 1n
    const found = fc.check(
      fc.property(steps, (history) => hiddenRow(history as Step[], wrong) === undefined),
      { numRuns: 20_000 },
    )
    expect(found.failed).toBe(true)
  })
})
