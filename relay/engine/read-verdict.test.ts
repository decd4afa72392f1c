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
    [200, '<html>welcome</html>', 'unknown', 'committed'],
    [200, '', 'unknown', 'committed'],
    [200, '{"dtm_result":"FAILURE"}', 'unknown', 'aborted'],
    [409, 'somebody else', 'unknown', 'aborted'],
    [500, 'FAILURE', 'unknown', 'aborted'],
    [500, '', 'unknown', 'unknown'],
  ])('%i %s: %s, and %s if it is read as DTM does', (status, text, strict, lenient) => {
    expect(readDtmVerdict({ status, text }, false)).toBe(strict)
    expect(readDtmVerdict({ status, text }, true)).toBe(lenient)
  })
})
