import { describe, expect, test, vi } from 'vitest'
import { Gate } from './gate.ts'

const idle = { waiting: () => 0, onChange: () => undefined }

describe('Gate', () => {
  test('a caller that is alone has every place', () => {
    const gate = new Gate({ concurrency: 4, onState: () => undefined })
    gate.door(idle)
    const door = gate.door(idle)
    expect(door.free(0)).toBe(4)
    for (let n = 0; n < 4; n += 1) door.take()
    expect(door.free(0)).toBe(0)
  })

  test('the next place goes to the waiting caller that has none, also if the other one asks first', () => {
    const gate = new Gate({ concurrency: 2, onState: () => undefined })
    const busy = gate.door({ ...idle, waiting: () => 100 })
    const first = busy.take()
    busy.take()
    const onChange = vi.fn()
    const other = gate.door({ waiting: () => 1, onChange })
    expect(other.free(0)).toBe(0)
    first.free('ok')
    expect(onChange).toHaveBeenCalledTimes(1)
    expect(busy.free(0)).toBe(0)
    expect(other.free(0)).toBe(1)
  })

  test('an outage that one caller finds closes the gate for the others, once', () => {
    const states: string[] = []
    const gate = new Gate({ concurrency: 8, onState: (state) => states.push(state) })
    const [one, other] = [gate.door(idle), gate.door(idle)]
    for (let n = 0; n < 5; n += 1) one.take().free('away')
    expect(other.free(performance.now())).toBe(0)
    expect(states).toEqual(['closed', 'open'])
  })

  test('a call from before the outage neither passes for the probe nor counts', () => {
    const gate = new Gate({ concurrency: 8, onState: () => undefined })
    const door = gate.door(idle)
    const early = door.take()
    for (let n = 0; n < 5; n += 1) door.take().free('away')
    early.free('ok')
    expect(door.isClosed).toBe(false)
  })

  test('questions look sooner than the breaker says, and what they find out is true for all', () => {
    const gate = new Gate({ concurrency: 8, onState: () => undefined })
    const calls = gate.door(idle)
    const questions = gate.door({ ...idle, probeEveryMs: 1000 })
    // After several openings the pause is long.
    for (let opening = 0; opening < 6; opening += 1) {
      const nowMs = performance.now() + 100_000
      for (let n = 0; n < 5; n += 1) if (opening === 0 || calls.free(nowMs) > 0) calls.take().free('away')
    }
    const now = performance.now()
    expect(calls.reopensInMs(now)).toBeGreaterThan(5000)
    expect(questions.reopensInMs(now)).toBeLessThanOrEqual(1000)
    expect(calls.free(now + 1000)).toBe(0)
    expect(questions.free(now + 1000)).toBe(1)
    const probe = questions.take()
    // One probe at a time, whichever caller asks.
    expect(calls.free(now + 1000)).toBe(0)
    probe.free('reached')
    expect(calls.free(now + 1000)).toBe(8)
  })

  test('that a failing destination answers questions does not open the gate for calls that fail', () => {
    const gate = new Gate({ concurrency: 32, onState: () => undefined })
    const calls = gate.door(idle)
    const questions = gate.door({ ...idle, probeEveryMs: 1000 })
    for (let n = 0; n < 20; n += 1) calls.take().free('failed')
    expect(calls.isClosed).toBe(false)
    const later = performance.now() + 1000
    expect(questions.free(later)).toBe(1)
    questions.take().free('reached')
    expect(calls.isClosed).toBe(false)
  })
})
