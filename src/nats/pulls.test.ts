import { describe, expect, test } from 'vitest'
import { createPulls } from './pulls.ts'

describe('pulls', () => {
  test('a request is outstanding until its messages have come', () => {
    const pulls = createPulls()
    pulls.request(2)
    pulls.delivered()
    expect(pulls).toMatchObject({ outstanding: 1, open: true })
    pulls.delivered()
    expect(pulls).toMatchObject({ outstanding: 0, open: false })
  })

  test('the end of a request takes off what it left unfilled, whichever request the messages were counted against', () => {
    const pulls = createPulls()
    const first = pulls.request(10)
    const second = pulls.request(5)
    for (let i = 0; i < 7; i += 1) pulls.delivered()
    pulls.ended(first, 6)
    expect(pulls.outstanding).toBe(2)
    pulls.ended(second, 2)
    expect(pulls).toMatchObject({ outstanding: 0, open: false })
  })

  test('nothing is outstanding when no request is open, whatever was counted', () => {
    const pulls = createPulls()
    const only = pulls.request(10)
    pulls.ended(only, undefined)
    expect(pulls).toMatchObject({ outstanding: 0, open: false })
  })

  test('requests that were forgotten do not count when they end or are filled late', () => {
    const pulls = createPulls()
    const lost = pulls.request(10)
    pulls.reset()
    pulls.request(4)
    pulls.ended(lost, 10)
    expect(pulls.outstanding).toBe(4)
    for (let i = 0; i < 9; i += 1) pulls.delivered()
    expect(pulls.outstanding).toBe(0)
  })
})
