import fc from 'fast-check'
import type { Content } from './tables.ts'

/** What one service transaction sends, and how it goes. */
export interface Sending {
  /** Announced to the relay before it is committed; otherwise the service writes its messages itself. */
  readonly isAnnounced: boolean
  readonly commits: boolean
  /** The service tells the relay how it ended; otherwise it is asked. */
  readonly tells: boolean
  readonly content: readonly Content[]
}

/** Several transactions with messages, and the storm that they have to get through. */
export interface Scenario {
  readonly sendings: readonly Sending[]
  readonly storm: readonly number[]
  /** Of chance: latencies, jitter. */
  readonly seed: number
}

const sending: fc.Arbitrary<Sending> = fc.record({
  isAnnounced: fc.nat({ max: 3 }).map((one) => one > 0),
  commits: fc.nat({ max: 4 }).map((one) => one > 0),
  tells: fc.boolean(),
  content: fc
    .array(fc.constantFrom('a', 'a', 'b', null), { minLength: 1, maxLength: 3 })
    .map((keys) => keys.map((key, index) => ({ branch: index + 1, key }))),
})

export const scenarios: fc.Arbitrary<Scenario> = fc.record({
  sendings: fc.array(sending, { minLength: 1, maxLength: 5, size: 'max' }),
  storm: fc.array(fc.nat({ max: 0xffff }), { maxLength: 60, size: 'max' }),
  seed: fc.nat(),
})
