import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PublishAckReader, readPublishAck } from './publish-ack.ts'

const stream = fc.oneof(fc.stringMatching(/^[\w-]{1,20}$/), fc.string())
const sequence = fc.oneof(fc.nat(), fc.maxSafeInteger(), fc.double(), fc.string())
const parts = fc.tuple(stream, sequence, fc.constantFrom(undefined, true, false), fc.constantFrom('', ' '))

/** As nats-server writes it, with a space or without after each comma and colon, and sometimes cut off. */
const body = fc.tuple(parts, fc.option(fc.nat({ max: 60 }))).map(([[name, seq, duplicate, gap], end]) => {
  const fields = [`"stream":${gap}${JSON.stringify(name)}`, `"seq":${gap}${JSON.stringify(seq)}`]
  if (duplicate !== undefined) fields.push(`"duplicate":${gap}${duplicate}`)
  const whole = `{${fields.join(`,${gap}`)}}`
  return end === null ? whole : whole.slice(0, end)
})

/** Of few streams, so that one often begins as the one before; the sequence is a number or nearly one. */
const like = fc
  .tuple(
    fc.constantFrom('A', 'AB', 'B'),
    fc.constantFrom('', ' '),
    fc.oneof(fc.nat().map(String), fc.constantFrom('', '0', '00', '01', '-1', '1.5', '1e3', '12345678901234567', 'x')),
    fc.constantFrom('}', '}', '}', ', "duplicate": true}', ',"duplicate":true}', '', '} ', ', "domain":"hub"}'),
  )
  .map(([name, gap, seq, end]) => `{"stream":"${name}",${gap}"seq":${seq}${end}`)

describe('readPublishAck', () => {
  test('the quick way reads what the thorough one does', () => {
    // A leading space is nothing to JSON and keeps the quick way from being taken.
    fc.assert(
      fc.property(body, (text) => {
        expect(readPublishAck(0, text)).toEqual(readPublishAck(0, ` ${text}`))
      }),
      { numRuns: 5000 },
    )
  })

  test('read one after the other, each is read as if it came alone', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(0, 0, 0, 503, 400), like), { maxLength: 20 }), (answers) => {
        const reader = new PublishAckReader()
        for (const [status, text] of answers) expect(reader.read(status, text)).toEqual(readPublishAck(status, text))
      }),
      { numRuns: 2000 },
    )
  })
})
