import { PostcommitError } from './errors.ts'
import { LIMITS } from './limits.ts'

/** Why `key` cannot order messages, or `undefined` if it can. */
export function keyProblem(key: unknown): string | undefined {
  if (typeof key !== 'string') return `it is a ${typeof key}, not a string`
  if (key === '') return 'it is empty'
  if (key.length > LIMITS.keyCharacters) return `it has more than ${LIMITS.keyCharacters} characters`
  if (/[\p{Cc}\p{Surrogate}]/u.test(key)) return 'it has control characters or lone surrogates'
  return undefined
}

/**
 * Parses an ordering key.
 * @throws `POSTCOMMIT_INVALID_KEY` with the reason.
 */
export function parseKey(key: string): string {
  const reason = keyProblem(key)
  if (reason === undefined) return key
  throw new PostcommitError('POSTCOMMIT_INVALID_KEY', { reason })
}
