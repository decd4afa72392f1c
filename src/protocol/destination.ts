import { PostcommitError } from './errors.ts'
import { LIMITS } from './limits.ts'

/** The destination that is the broker. HTTP destinations and handlers have any other name. */
export const NATS_DESTINATION = 'nats'

const NAME = /^[a-z][a-z0-9-]{0,62}$/

/** Whether `name` can name a configured destination. */
export function isDestinationName(name: string): boolean {
  return NAME.test(name) && name !== NATS_DESTINATION
}

/**
 * Parses the name of a destination that is called.
 * @throws `POSTCOMMIT_INVALID_DESTINATION`.
 */
export function parseDestination(name: string): string {
  if (typeof name === 'string' && isDestinationName(name)) return name
  throw new PostcommitError('POSTCOMMIT_INVALID_DESTINATION', { destination: JSON.stringify(name) ?? String(name) })
}

/**
 * Parses the path of a call: absolute, no authority, no fragment, no dot segments, so that a path can never leave
 * the configured origin and base path.
 * @throws `POSTCOMMIT_INVALID_PATH` with the reason.
 */
export function parsePath(path: string): string {
  const reason = pathProblem(path)
  if (reason === undefined) return path
  throw new PostcommitError('POSTCOMMIT_INVALID_PATH', { path: JSON.stringify(path) ?? String(path), reason })
}

/** Why `path` is none for a call, or `undefined` if it is one. */
export function pathProblem(path: unknown): string | undefined {
  if (typeof path !== 'string') return 'it is not a string'
  if (!path.startsWith('/')) return 'it does not start with /'
  if (path.startsWith('//')) return 'it names another host'
  if (path.length > LIMITS.pathCharacters) return `it has more than ${LIMITS.pathCharacters} characters`
  if (!/^[\x21-\x7e]+$/.test(path)) return 'it has spaces, control or non-ASCII characters (percent-encode them)'
  if (path.includes('#') || path.includes('\\')) return 'it has a # or a backslash'
  const segments = path.split('?', 1)[0]?.split('/') ?? []
  if (segments.some((segment) => /^(\.|%2e){1,2}$/i.test(segment))) return 'it has a . or .. segment'
  return undefined
}
