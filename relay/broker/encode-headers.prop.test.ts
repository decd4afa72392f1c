import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BrokerMessage } from './broker-message.ts'
import { encodeByClient, encodeHeaders } from './encode-headers.ts'

const message: fc.Arbitrary<BrokerMessage> = fc.record({
  messageId: fc.oneof(fc.stringMatching(/^[A-Za-z0-9_-]{1,64}:\d{1,9}$/), fc.string()),
  gid: fc.oneof(fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/), fc.string()),
  branch: fc.nat(),
  subject: fc.constant('a.b'),
  key: fc.option(fc.oneof(fc.string(), fc.string({ unit: 'grapheme' })), { nil: undefined }),
  content: fc.oneof(fc.constant('{}'), fc.constant(new Uint8Array(2))),
  headers: fc.option(fc.constantFrom('{}', '{"a":"b"}', '{"a":"b","c":"d"}'), { nil: undefined }),
})

const attempt = (encode: (message: BrokerMessage) => string, input: BrokerMessage) => {
  try {
    return encode(input)
  } catch (error) {
    return `throws ${error instanceof Error ? error.name : ''}`
  }
}

describe('encodeHeaders', () => {
  test('writes what the client would write, and throws where it would', () => {
    fc.assert(
      fc.property(message, (input) => {
        expect(attempt(encodeHeaders, input)).toBe(attempt(encodeByClient, input))
      }),
      { numRuns: 2000 },
    )
  })
})
