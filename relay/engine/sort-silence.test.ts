import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sortSilence } from './sort-silence.ts'

const stream = fc.constantFrom('A', 'B')
const heard = fc.record({
  foreign: fc.boolean(),
  streams: fc.option(fc.array(stream, { maxLength: 2 }), { nil: undefined }),
  ackedBy: fc.option(stream, { nil: undefined }),
})

test('a silence is about the broker only if nothing says that anything gets through', () => {
  fc.assert(
    fc.property(heard, (facts) => {
      const { foreign, streams, ackedBy } = facts
      const isAlive = foreign || ackedBy !== undefined || streams?.length === 0
      expect(sortSilence(facts).of === 'broker').toBe(!isAlive)
    }),
  )
})

test('a stream is held back as a whole only if it takes the subject and another stream has acknowledged', () => {
  fc.assert(
    fc.property(heard, (facts) => {
      const silence = sortSilence(facts)
      if (silence.of !== 'stream') return
      expect(facts.streams).toContain(silence.stream)
      expect(facts.ackedBy).not.toBe(silence.stream)
      expect(facts.ackedBy).toBeDefined()
    }),
  )
})
