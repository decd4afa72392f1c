import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Door, Gate, type Place } from './gate.ts'

/** A loop as the relay has three: it queues calls, and begins what the gate has places for. */
class Loop {
  readonly door: Door
  queued = 0
  readonly places: Place[] = []

  constructor(gate: Gate) {
    this.door = gate.door({ waiting: () => this.queued, onChange: () => this.begin() })
  }

  begin(): void {
    while (this.queued > 0 && this.door.free(0) > 0) {
      this.queued -= 1
      this.places.push(this.door.take())
    }
  }
}

const CALLERS = 3
const step = fc.record({
  caller: fc.nat({ max: CALLERS - 1 }),
  kind: fc.constantFrom('queue', 'end'),
  count: fc.integer({ min: 1, max: 20 }),
})

function run(concurrency: number, steps: readonly { caller: number; kind: string; count: number }[]): readonly Loop[] {
  const gate = new Gate({ concurrency, onState: () => undefined })
  const loops = Array.from({ length: CALLERS }, () => new Loop(gate))
  for (const { caller, kind, count } of steps) {
    const loop = loops[caller]
    if (kind === 'queue' && loop !== undefined) {
      loop.queued += count
      loop.begin()
    }
    for (let n = 0; kind === 'end' && n < count; n += 1) loop?.places.shift()?.free('ok')
    const running = loops.reduce((sum, { door }) => sum + door.running, 0)
    expect(running).toBeLessThanOrEqual(concurrency)
    expect(running).toBe(loops.reduce((sum, { places }) => sum + places.length, 0))
    // No place is empty while a call waits.
    if (loops.some(({ queued }) => queued > 0)) expect(running).toBe(concurrency)
  }
  return loops
}

describe('Gate', () => {
  test('no more calls than places are under way, and no place is empty while a call of any caller waits', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.array(step, { maxLength: 200 }), (concurrency, steps) => {
        run(concurrency, steps)
      }),
    )
  })

  test('callers that always have calls waiting end with equal shares, whatever was before', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.array(step, { maxLength: 100 }), (concurrency, steps) => {
        const loops = run(concurrency, steps)
        for (const loop of loops) {
          loop.queued += 10_000
          loop.begin()
        }
        // Whoever has the most ends its calls first; every place is handed on.
        for (let n = 0; n < 20 * concurrency; n += 1) {
          const [most] = [...loops].sort((a, b) => b.places.length - a.places.length)
          most?.places.shift()?.free('ok')
        }
        const shares = loops.map(({ door }) => door.running)
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
        if (concurrency >= CALLERS) expect(Math.min(...shares)).toBeGreaterThan(0)
      }),
    )
  })
})
