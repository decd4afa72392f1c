import fc from 'fast-check'
import { expect, test } from 'vitest'
import { lineUp, type Queued } from './key-order.ts'

const queue: fc.Arbitrary<Queued[]> = fc
  .array(
    fc.record({
      key: fc.constantFrom('a', 'b', 'c'),
      status: fc.constantFrom('prepared', 'submitted', 'succeed', 'failed'),
      rank: fc.nat(),
    }),
    { maxLength: 12 },
  )
  .map((drawn) =>
    drawn
      .map(({ key, status, rank }, place) => ({ gid: `g${place}`, key, place, status, rank }))
      .sort((a, b) => a.rank - b.rank),
  )

function heads({ behind }: ReturnType<typeof lineUp>, messages: readonly Queued[]): Queued[] {
  const open = messages.filter(({ status }) => status === 'prepared' || status === 'submitted')
  return open.filter(({ gid }) => !behind.has(gid))
}

test('of every key one unsettled message may go, the first; whatever the others are', () => {
  fc.assert(
    fc.property(queue, (messages) => {
      const free = heads(lineUp(messages), messages)
      expect(new Set(free.map(({ key }) => key)).size).toBe(free.length)
      for (const { key, status, place } of messages) {
        if (status !== 'prepared' && status !== 'submitted') continue
        expect(free.find((head) => head.key === key)?.place).toBeLessThanOrEqual(place)
      }
    }),
  )
})

test('a key holds nobody but its own', () => {
  fc.assert(
    fc.property(queue, fc.constantFrom('a', 'b', 'c'), (messages, key) => {
      const own = messages.filter((message) => message.key === key)
      const mine = ([gid]: readonly [string, string]) => own.some((message) => message.gid === gid)
      expect(new Map([...lineUp(messages).behind].filter(mine))).toEqual(lineUp(own).behind)
    }),
  )
})

test('an undecided head is asked about at once if somebody that is decided waits for it, and only then', () => {
  fc.assert(
    fc.property(queue, (messages) => {
      const order = lineUp(messages)
      const expected = heads(order, messages).filter(
        ({ gid, status }) =>
          status === 'prepared' &&
          messages.some((other) => other.status === 'submitted' && order.behind.get(other.gid) === gid),
      )
      expect([...order.expedite].sort()).toEqual(expected.map(({ gid }) => gid).sort())
    }),
  )
})

test('when everything before it is settled a message goes, so that nothing waits for ever', () => {
  fc.assert(
    fc.property(queue, (messages) => {
      let left = [...messages]
      const delivered: Queued[] = []
      for (let free = heads(lineUp(left), left); free.length > 0; free = heads(lineUp(left), left)) {
        delivered.push(...free)
        left = left.filter((message) => !free.includes(message))
      }
      expect(left.filter(({ status }) => status === 'prepared' || status === 'submitted')).toEqual([])
      for (const key of ['a', 'b', 'c']) {
        const places = delivered.filter((message) => message.key === key).map(({ place }) => place)
        expect(places).toEqual([...places].sort((a, b) => a - b))
      }
    }),
  )
})
