import { describe, expect, test } from 'vitest'
import { readJsonRpcAnswer, readJsonRpcVerdict } from './json-rpc-answer.ts'

const ok = (fields: object) => JSON.stringify({ jsonrpc: '2.0', id: '1', ...fields })
const error = (code: unknown) => ok({ error: { code, message: 'because' }, result: null })

describe('a branch', () => {
  test.each([
    [200, ok({ result: { dtm_result: 'SUCCESS' }, error: null }), 'done', 'done'],
    [200, ok({ result: null }), 'done', 'done'],
    [200, ok({}), 'done', 'done'],
    [200, ok({ error: null }), 'done', 'done'],
    [200, '{"error":null,"id":"1"}', 'done', 'done'],
    [200, ok({ result: { dtm_result: 'FAILURE' } }), 'failure', 'failure'],
    [200, ok({ result: { dtm_result: 'ONGOING' } }), 'ongoing', 'ongoing'],
    // The words of the other branches are text here.
    [200, ok({ result: 'FAILURE' }), 'done', 'failure'],
    [200, error(-32901), 'failure', 'failure'],
    [200, error(-32902), 'ongoing', 'ongoing'],
    [200, error(-32603), 'retry', 'retry'],
    [200, error('-32901'), 'retry', 'retry'],
    [200, error(undefined), 'retry', 'retry'],
    [200, '{}', 'retry', 'done'],
    [200, '<html>FAILURE</html>', 'retry', 'failure'],
    [200, '<html>', 'retry', 'retry'],
    [200, 'null', 'retry', 'retry'],
    [204, '', 'retry', 'retry'],
    [409, error(-32901), 'retry', 'failure'],
    [500, error(-32901), 'retry', 'retry'],
  ])('that answers %d %s is %s, leniently %s', (status, text, strict, lenient) => {
    expect(readJsonRpcAnswer({ status, text: () => text }, false).outcome.kind).toBe(strict)
    expect(readJsonRpcAnswer({ status, text: () => text }, true).outcome.kind).toBe(lenient)
  })

  test('that is busy has burnt no attempt', () => {
    expect(readJsonRpcAnswer({ status: 503, text: () => '' }, false).result).toBe('away')
  })

  test.each([
    [{ toString: 1 }, 'error {"toString":1}: because'],
    [null, 'error null: because'],
    [-1, 'error -1: because'],
  ])('whose code is %j is quoted as it is', (code, error) => {
    const text = ok({ error: { code, message: 'because' } })
    expect(readJsonRpcAnswer({ status: 200, text: () => text }, false).outcome).toMatchObject({ kind: 'retry', error })
  })
})

test.each([
  [200, ok({ result: { dtm_result: 'SUCCESS' } }), 'committed', 'committed'],
  [200, ok({ result: null }), 'committed', 'committed'],
  [200, ok({ result: {} }), 'committed', 'committed'],
  [200, ok({}), 'committed', 'committed'],
  [200, ok({ result: { dtm_result: 'FAILURE' } }), 'aborted', 'aborted'],
  [200, ok({ result: { dtm_result: 'ONGOING' } }), 'in_progress', 'in_progress'],
  [200, ok({ result: 'yes' }), 'unknown', 'committed'],
  [200, ok({ result: { status: 'ok' } }), 'unknown', 'committed'],
  [200, '{}', 'unknown', 'committed'],
  [200, error(-32901), 'aborted', 'aborted'],
  [200, error(-32902), 'in_progress', 'in_progress'],
  [200, error(-32603), 'unknown', 'unknown'],
  [200, '<html>', 'unknown', 'unknown'],
  [200, undefined, 'unknown', 'unknown'],
  [409, error(-32901), 'unknown', 'aborted'],
  [503, '', 'unreachable', 'unreachable'],
])('a back-query that is answered %d %s is %s, leniently %s', (status, text, strict, lenient) => {
  expect(readJsonRpcVerdict({ status, text }, false)).toBe(strict)
  expect(readJsonRpcVerdict({ status, text }, true)).toBe(lenient)
})
