import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { coalesceWake } from './wake.ts'

describe('coalesceWake', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test('the first call is at once; those of one gap become one', async () => {
    let sent = 0
    const wake = coalesceWake(async () => {
      sent += 1
    }, 10)
    wake()
    expect(sent).toBe(1)
    for (let n = 0; n < 100; n += 1) wake()
    await vi.advanceTimersByTimeAsync(9)
    expect(sent).toBe(1)
    await vi.advanceTimersByTimeAsync(2)
    expect(sent).toBe(2)
    await vi.advanceTimersByTimeAsync(1000)
    expect(sent).toBe(2)
    wake()
    expect(sent).toBe(3)
  })

  test('few calls wait a fifth of the gap, and ten times as long as the last wake-up took, but no more than the gap', async () => {
    let sent = 0
    let tookMs = 0
    const wake = coalesceWake(async () => {
      sent += 1
      await new Promise((resolve) => setTimeout(resolve, tookMs))
    }, 100)
    for (const [took, gap] of [
      [0, 20],
      [5, 50],
      [30, 100],
    ] as const) {
      tookMs = took
      const before = sent
      wake()
      await vi.advanceTimersByTimeAsync(took)
      wake()
      await vi.advanceTimersByTimeAsync(gap - 1)
      expect(sent).toBe(before + 1)
      await vi.advanceTimersByTimeAsync(2)
      expect(sent).toBe(before + 2)
      await vi.advanceTimersByTimeAsync(1000)
    }
  })

  test('a call while one is under way is not lost, and a failed one is dropped', async () => {
    const answers: ((error?: Error) => void)[] = []
    const wake = coalesceWake(
      () => new Promise<void>((resolve, reject) => answers.push((error) => (error ? reject(error) : resolve()))),
      10,
    )
    wake()
    wake()
    expect(answers).toHaveLength(1)
    answers[0]?.(new Error('the pool is closed'))
    await vi.advanceTimersByTimeAsync(11)
    expect(answers).toHaveLength(2)
  })
})
