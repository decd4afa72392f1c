import { describe, expect, test } from 'vitest'
import { readBranchAnswer, readDtmAnswer, readLenientAnswer } from './branch-answer.ts'

const answer = (status: number, body = '') => ({ status, text: () => body })

describe('readBranchAnswer', () => {
  test.each([
    [200, 'done', 'ok'],
    [201, 'done', 'ok'],
    [204, 'done', 'ok'],
    [409, 'failure', 'ok'],
    [425, 'ongoing', 'ok'],
    [429, 'retry', 'away'],
    [503, 'retry', 'away'],
    [302, 'retry', 'ok'],
    [404, 'retry', 'ok'],
    [500, 'retry', 'failed'],
  ])('%i: %s, and the destination is %s', (status, kind, result) => {
    expect(readBranchAnswer(answer(status))).toMatchObject({ outcome: { kind }, result })
  })

  test('the text decides nothing', () => {
    expect(readBranchAnswer(answer(200, '{"note":"FAILURE, ONGOING"}')).outcome.kind).toBe('done')
  })

  test.each([
    ['', 'answered 409'],
    ['{"status":409,"detail":"sold\\nout"}', 'sold out'],
    ['sold out\u0000\n', 'sold out'],
    ['{"detail":{"sku":"a"}}', 'answered 409'],
    ['{"error":"secret"}', 'answered 409'],
    ['<html>sorry</html>', 'answered 409'],
    ['x'.repeat(1000), `${'x'.repeat(199)}…`],
  ])('why it refused, from %j', (body, error) => {
    expect(readBranchAnswer(answer(409, body)).outcome).toEqual({ kind: 'failure', error })
  })

  test('a pause that is asked for is kept', () => {
    const { outcome } = readBranchAnswer({ ...answer(503), retryAfterMs: 2000 })
    expect(outcome).toEqual({ kind: 'retry', error: 'answered 503', retryAfterMs: 2000 })
  })
})

describe('readDtmAnswer', () => {
  test.each([
    [200, '{"dtm_result":"SUCCESS"}', 'done'],
    [200, '{"dtm_result":"FAILURE","message":"no stock"}', 'failure'],
    [200, '{"dtm_result":"DTMFAILUREERROR"}', 'failure'],
    [200, '{"dtm_result":"ONGOING"}', 'ongoing'],
    [400, '{"dtm_result":"FAILURE"}', 'failure'],
    [500, '{"dtm_result":"FAILURE"}', 'failure'],
    [500, '{"dtm_result":"SUCCESS"}', 'retry'],
    [409, '{"dtm_result":"SUCCESS"}', 'failure'],
    [409, '{"dtm_result":"ONGOING"}', 'ongoing'],
    [425, '{"dtm_result":"FAILURE"}', 'ongoing'],
    [409, '', 'failure'],
    [425, '', 'ongoing'],
    [201, '', 'done'],
    [200, 'null', 'done'],
    // Data of the business.
    [200, '{"note":"FAILURE, ONGOING"}', 'done'],
    [200, '{"order":{"dtm_result":"FAILURE"}}', 'done'],
    [200, '[{"dtm_result":"FAILURE"}]', 'done'],
    [200, '"dtm_result: FAILURE"', 'done'],
    [200, '{"dtm_result":{"FAILURE":1}}', 'done'],
    [500, 'FAILURE', 'retry'],
  ])('%i %s: %s', (status, body, kind) => {
    expect(readDtmAnswer(answer(status, body)).outcome.kind).toBe(kind)
  })
})

describe('readLenientAnswer', () => {
  test.each([
    [200, '', 'done'],
    [200, '{"dtm_result":"FAILURE"}', 'failure'],
    [200, '{"dtm_result":"ONGOING"}', 'ongoing'],
    [500, 'FAILURE', 'failure'],
    [409, '', 'failure'],
    [425, '', 'ongoing'],
    [201, '', 'retry'],
    [204, '', 'retry'],
    [500, '', 'retry'],
  ])('%i %s: %s', (status, body, kind) => {
    expect(readLenientAnswer(answer(status, body)).outcome.kind).toBe(kind)
  })
})
