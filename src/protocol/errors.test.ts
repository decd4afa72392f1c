import { describe, expect, test } from 'vitest'
import { ERRORS, PostcommitError } from './errors.ts'

describe('PostcommitError', () => {
  test('says what, what to do, and the code', () => {
    const cause = new Error('underneath')
    const error = new PostcommitError('POSTCOMMIT_GID_CONFLICT', { gid: 'order-7' }, { gid: 'order-7', cause })
    expect(error.message).toBe(
      'gid order-7 has already been committed with other messages. ' +
        'Use a gid for one operation only. Nothing was written this time. (POSTCOMMIT_GID_CONFLICT)',
    )
    expect(error).toMatchObject({ code: 'POSTCOMMIT_GID_CONFLICT', gid: 'order-7', retryable: false, cause })
  })

  test('a value from outside can neither break the line nor flood it', () => {
    const { message } = new PostcommitError('POSTCOMMIT_INVALID_KEY', { reason: `a\r\nb${'x'.repeat(1000)}` })
    expect(message).toContain('a\\r\\nb')
    expect(message.length).toBeLessThan(600)
  })

  test('is recognised across two copies of the package', () => {
    const foreign = Object.assign(new Error('x'), { [Symbol.for('postcommit.error')]: true })
    expect(foreign).toBeInstanceOf(PostcommitError)
    expect(new Error('x')).not.toBeInstanceOf(PostcommitError)
  })

  test('every entry of the table tells what to do', () => {
    for (const { action, message } of Object.values(ERRORS)) {
      expect(action).not.toBe('')
      expect(message).not.toMatch(/\.$/)
    }
  })
})
