import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Refusals, streamScope, subjectScope } from './refusals.ts'

const REFUSED = { scope: subjectScope('a.b'), cause: 'missing', error: 'no stream', subject: 'a.b', probe: false }

describe('Refusals', () => {
  test('of a scope one message at a time is sent, and never before its time; other subjects always', () => {
    const step = fc.record({
      afterMs: fc.nat({ max: 5000 }),
      subject: fc.constantFrom('a.b', 'a.c', 'x'),
      answer: fc.constantFrom('refused', 'later'),
    })
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 200 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (steps, random) => {
          const refusals = new Refusals()
          let now = 0
          let nextProbe = refusals.refuse(REFUSED, now, random)
          let probing: number | undefined
          for (const { afterMs, subject, answer } of steps) {
            now += afterMs
            const admission = refusals.admit(subject, now, random)
            if (subject !== 'a.b') {
              expect(admission.kind).toBe('send')
              continue
            }
            expect(admission.kind).not.toBe('send')
            if (admission.kind !== 'probe') continue
            expect(now).toBeGreaterThanOrEqual(nextProbe)
            if (probing !== undefined) expect(now - probing, 'the last probe was lost').toBeGreaterThanOrEqual(15_000)
            probing = now
            if (answer === 'later') continue
            nextProbe = now + refusals.refuse({ ...REFUSED, probe: true }, now, random)
            probing = undefined
          }
        },
      ),
    )
  })

  test('pauses grow to half a minute and no further', () => {
    const refusals = new Refusals()
    const pauses = [refusals.refuse(REFUSED, 0, 1)]
    for (let n = 0; n < 20; n += 1) pauses.push(refusals.refuse({ ...REFUSED, probe: true }, 0, 1))
    expect(pauses).toEqual([...pauses].sort((a, b) => a - b))
    expect(pauses.at(-1)).toBe(30_000)
  })

  test('of a thousand that were in flight when it was refused, one comes back as the probe', () => {
    const refusals = new Refusals()
    const due = Array.from({ length: 1000 }, () => refusals.refuse(REFUSED, 0, 0.5))
    expect(due.filter((ms) => ms < 60_000)).toHaveLength(1)
  })

  test('a stream holds back what it takes, and its acknowledgement ends that', () => {
    const refusals = new Refusals()
    refusals.refuse({ ...REFUSED, scope: streamScope('A'), cause: 'full' }, 0, 0)
    expect(refusals.admit('a.c', 1, 0).kind, 'not known yet to be of the stream').toBe('send')
    refusals.learn(streamScope('A'), ['a.>'])
    expect(refusals.admit('a.c', 1, 0).kind).toBe('withhold')
    expect(refusals.admit('b.c', 1, 0).kind).toBe('send')
    expect(refusals.acked('a.d', 'B')).toEqual([])
    expect(refusals.acked('a.d', 'A')).toEqual([streamScope('A')])
    expect(refusals.admit('a.c', 1, 0).kind).toBe('send')
  })

  test('scopes without end do not grow', () => {
    const refusals = new Refusals()
    for (let n = 0; n < 5000; n += 1) refusals.refuse({ ...REFUSED, scope: subjectScope(`s.${n}`) }, n, 0)
    expect(refusals.size).toBe(1000)
  })
})
