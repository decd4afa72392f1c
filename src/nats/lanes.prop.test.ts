import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLanes, type Entry, type Lanes } from './lanes.ts'

/** What a server holds: it delivers in order, redelivers whatever it likes, and answers recalls. */
interface Stream {
  readonly keys: readonly (string | undefined)[]
  delivered: number
  readonly settled: Set<number>
}

type Step = {
  readonly do: 'deliver' | 'redeliver' | 'take' | 'settle' | 'fail' | 'resume' | 'recall' | 'gate'
  readonly at: number
}

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    do: fc.constantFrom('deliver', 'redeliver', 'take', 'settle', 'fail', 'resume', 'recall', 'gate'),
    at: fc.nat({ max: 1000 }),
  }),
  { maxLength: 400 },
)
const keys = fc.array(fc.constantFrom('a', 'b', 'c', undefined), { minLength: 1, maxLength: 60 })

class Run {
  readonly lanes: Lanes<number>
  readonly running: Entry<number>[] = []
  readonly paused: Entry<number>[] = []
  readonly taken: number[] = []
  readonly stream: Stream

  constructor(streamKeys: Stream['keys'], waitingMax: number) {
    this.stream = { keys: streamKeys, delivered: 0, settled: new Set() }
    this.lanes = createLanes({ waitingBytesMax: 10 * waitingMax, settledMax: 1000 })
  }

  deliver(sequence: number): void {
    const key = this.stream.keys[sequence - 1]
    this.lanes.arrive({ sequence, stamp: `t${sequence}`, key, reply: '', content: sequence, bytes: 10 })
  }

  apply(step: Step): void {
    const { stream, lanes, running, paused } = this
    switch (step.do) {
      case 'deliver':
        if (stream.delivered < stream.keys.length) this.deliver(++stream.delivered)
        break
      case 'redeliver':
        if (stream.delivered > 0) this.deliver(1 + (step.at % stream.delivered))
        break
      case 'take':
        this.take()
        break
      case 'settle':
        this.settle(pick(running, step.at))
        break
      case 'fail': {
        const entry = pick(running, step.at)
        if (entry === undefined) break
        lanes.pause(entry, true)
        paused.push(entry)
        break
      }
      case 'resume': {
        const entry = pick(paused, step.at)
        if (entry !== undefined) lanes.resume(entry)
        break
      }
      case 'recall':
        for (const { sequence } of lanes.recall(1 + (step.at % 3))) this.deliver(sequence)
        break
      case 'gate':
        lanes.setGate(step.at % 2 === 0)
        break
    }
  }

  take(): void {
    const next = this.lanes.take()
    if (next === undefined) return
    const { entry, content } = next
    expect(content).toBe(entry.sequence)
    expect(this.stream.settled.has(entry.sequence)).toBe(false)
    if (entry.key !== undefined) {
      // Everything before it with its key is settled, and nothing of its key runs.
      for (let earlier = 1; earlier < entry.sequence; earlier += 1) {
        if (this.stream.keys[earlier - 1] === entry.key) expect(this.stream.settled).toContain(earlier)
      }
      expect(this.running.map(({ key }) => key)).not.toContain(entry.key)
    }
    this.running.push(entry)
  }

  settle(entry: Entry<number> | undefined): void {
    if (entry === undefined) return
    expect(this.lanes.settle(entry)).toBe(true)
    this.stream.settled.add(entry.sequence)
  }
}

function pick<T>(list: T[], at: number): T | undefined {
  return list.length === 0 ? undefined : list.splice(at % list.length, 1)[0]
}

test('whatever is redelivered, fails and is called back, messages of a key run in order, one at a time, each until settled', () => {
  fc.assert(
    fc.property(keys, fc.integer({ min: 0, max: 5 }), steps, (streamKeys, waitingMax, history) => {
      const run = new Run(streamKeys, waitingMax)
      for (const step of history) run.apply(step)
      expect(run.lanes.waitingBytes).toBeLessThanOrEqual(10 * waitingMax)

      // Left alone, everything is settled in the end.
      run.lanes.setGate(true)
      for (let round = 0; round < 4 * streamKeys.length + 4; round += 1) {
        run.apply({ do: 'deliver', at: 0 })
        run.apply({ do: 'resume', at: 0 })
        run.apply({ do: 'recall', at: 2 })
        run.take()
        run.apply({ do: 'settle', at: 0 })
      }
      expect(run.stream.settled.size).toBe(streamKeys.length)
      expect(run.lanes).toMatchObject({ size: 0, ready: 0, waitingBytes: 0, recalled: 0 })
    }),
    { numRuns: 500 },
  )
})
