import { describe, expect, test } from 'vitest'
import { readJsonRpcAnswer, readJsonRpcVerdict } from './json-rpc-answer.ts'

const ok = (fields: object) => JSON.stringify({ jsonrpc: '2.0', id: '1', ...fields })
const error = (code: unknown) => ok({ error: { code, message: 'because' }, result: null })

describe('a branch', () => {
  test.each([
    [200, ok({ result: { dtm_result: 'SUCCESS' }, error: null }), 'done'],
    [200, ok({ result: null }), 'done'],
    // The words of the other branches are text here.
    [200, ok({ result: 'FAILURE' }), 'done'],
    [200, error(-32901), 'failure'],
    [200, error(-32902), 'ongoing'],
    [200, error(-32603), 'retry'],
    [200, error('-32901'), 'retry'],
    [200, error(undefined), 'retry'],
    [200, ok({}), 'retry'],
    [200, '<html>FAILURE</html>', 'retry'],
    [200, 'null', 'retry'],
    [204, '', 'retry'],
    [409, error(-32901), 'retry'],
    [500, error(-32901), 'retry'],
  ])('that answers %d %s is %s', (status, text, kind) => {
    expect(readJsonRpcAnswer({ status, text: () => text }).outcome.kind).toBe(kind)
  })

  test('that is busy has burnt no attempt', () => {
    expect(readJsonRpcAnswer({ status: 503, text: () => '' }).result).toBe('away')
  })
})

test.each([
  [200, ok({ result: { dtm_result: 'SUCCESS' } }), 'committed', 'committed'],
  [200, ok({ result: null }), 'unknown', 'committed'],
  [200, error(-32901), 'aborted', 'aborted'],
  [200, error(-32902), 'in_progress', 'in_progress'],
  [200, error(-32603), 'unknown', 'unknown'],
  [200, '<html>', 'unknown', 'unknown'],
  [409, error(-32901), 'unknown', 'unknown'],
  [503, '', 'unreachable', 'unreachable'],
])('a back-query that is answered %d %s is %s, leniently %s', (status, text, strict, lenient) => {
  expect(readJsonRpcVerdict({ status, text }, false)).toBe(strict)
  expect(readJsonRpcVerdict({ status, text }, true)).toBe(lenient)
})
