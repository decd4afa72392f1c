import { PostcommitError } from '../protocol/errors.ts'

const KEY_CHARACTERS = 180

/**
 * The key of an id where a cache says nothing else. Only what has one text: JavaScript would make `undefined` of an id
 * that is missing, `a,b` of an array, and the same text of all promises.
 */
export function plainKey(id: unknown): string | number {
  if (typeof id === 'string' || typeof id === 'number') return id
  if (typeof id === 'bigint' || typeof id === 'boolean') return String(id)
  // For checkKey to refuse, by what it is.
  return id as never
}

/** @throws `POSTCOMMIT_INVALID_CACHE_KEY`. */
export function checkKey(cache: string, given: unknown): string {
  const refuse = (reason: string): never => {
    throw new PostcommitError('POSTCOMMIT_INVALID_CACHE_KEY', { cache, reason })
  }
  if (typeof given !== 'string' && typeof given !== 'number') {
    return refuse(`it is ${kindOf(given)}, not a string or a number; give the cache a key(id)`)
  }
  if (typeof given === 'number' && !Number.isFinite(given)) refuse(`it is ${given}`)
  const key = String(given)
  if (key === '' || key === '[object Object]') refuse(`it is ${JSON.stringify(key)}`)
  if (key.length > KEY_CHARACTERS) refuse(`it has more than ${KEY_CHARACTERS} characters`)
  if (/[\p{Cc}\p{Surrogate}]/u.test(key)) refuse('it has control characters or lone surrogates')
  return key
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value)
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
