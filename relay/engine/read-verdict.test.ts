import type { BackQuery, Gid } from 'postcommit/protocol'
import { describe, expect, test } from 'vitest'
import { readDtmVerdict, readVerdict } from './read-verdict.ts'

const asked: BackQuery = { gid: 'g-1' as Gid, nonce: 'n'.repeat(22) }
const said = (given: object) => JSON.stringify({ gid: asked.gid, nonce: asked.nonce, outcome: 'committed', ...given })

describe('readVerdict', () => {
  test.each(['committed', 'aborted', 'in_progress'] as const)('%s', (outcome) => {
    expect(readVerdict({ status: 200, text: said({ outcome }) }, asked)).toBe(outcome)
  })

  test.each([
    ['another gid', 200, said({ gid: 'g-2' })],
    ['another nonce', 200, said({ nonce: 'm'.repeat(22) })],
    ['another word', 200, said({ outcome: 'SUCCESS' })],
    ['more than a verdict', 200, said({ extra: 1 })],
    ['a page', 200, '<html>'],
    ['nothing', 200, ''],
    ['more than any verdict', 200, undefined],
    ['a verdict with another status', 201, said({})],
    ['Failure', 409, said({ outcome: 'aborted' })],
    ['an error', 500, said({})],
  ])('%s decides nothing', (_, status, text) => {
    expect(readVerdict({ status, text }, asked)).toBe('unknown')
  })

  test.each([429, 503])('%i: nobody was reached', (status) => {
    expect(readVerdict({ status, text: said({}) }, asked)).toBe('unreachable')
  })
})

describe('readDtmVerdict', () => {
  test.each([
    [200, '{"dtm_result":"SUCCESS"}', 'committed', 'committed'],
    [409, '{"dtm_result":"FAILURE"}', 'aborted', 'aborted'],
    [425, '', 'in_progress', 'in_progress'],
    // What DTM's wrapper of handlers says.
    [200, 'null', 'committed', 'committed'],
    [409, '{"error":"FAILURE"}', 'aborted', 'aborted'],
    [409, '{"error":"no such order: FAILURE"}', 'aborted', 'aborted'],
    [425, '{"error":"ONGOING"}', 'in_progress', 'in_progress'],
    // What handlers of other frameworks and languages say.
    [200, '', 'committed', 'committed'],
    [200, '{}', 'committed', 'committed'],
    [200, '{"dtm_result":"FAILURE"}', 'aborted', 'aborted'],
    [200, '{"dtm_result":"ONGOING"}', 'in_progress', 'in_progress'],
    [409, '{"dtm_result":"DTMFAILUREERROR"}', 'aborted', 'aborted'],
    [409, '{"dtm_result":"ONGOING"}', 'in_progress', 'in_progress'],
    // What other programs say.
    [200, '<html>welcome</html>', 'unknown', 'committed'],
    [200, '[]', 'unknown', 'committed'],
    [200, '{"status":"ok"}', 'unknown', 'committed'],
    [200, '{"order":"FAILURE of a light bulb"}', 'unknown', 'aborted'],
    [200, undefined, 'unknown', 'committed'],
    [204, '', 'unknown', 'unknown'],
    [409, undefined, 'unknown', 'aborted'],
    [409, '', 'unknown', 'aborted'],
    [409, 'another service', 'unknown', 'aborted'],
    [409, '{"status":409}', 'unknown', 'aborted'],
    [409, '{"error":null}', 'unknown', 'aborted'],
    [409, '{"error":false}', 'unknown', 'aborted'],
    [409, '{"dtm_result":"SUCCESS"}', 'unknown', 'aborted'],
    [500, '{"dtm_result":"FAILURE"}', 'unknown', 'aborted'],
    [500, '{"dtm_result":"SUCCESS"}', 'unknown', 'unknown'],
    [500, 'FAILURE', 'unknown', 'aborted'],
    [500, '', 'unknown', 'unknown'],
    [503, '', 'unreachable', 'unknown'],
  ])('%i %s: %s, and %s if it is read as DTM does', (status, text, strict, lenient) => {
    expect(readDtmVerdict({ status, text }, false)).toBe(strict)
    expect(readDtmVerdict({ status, text }, true)).toBe(lenient)
  })
})
