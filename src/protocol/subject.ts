import { PostcommitError } from './errors.ts'
import { LIMITS } from './limits.ts'

const TOKEN = /^[A-Za-z0-9_-]+$/
const RESERVED_FIRST_TOKENS = new Set(['_INBOX'])

/**
 * Why `subject` may not be published to, or `undefined` if it may.
 *
 * The grammar is narrower than NATS's own: a subject with a space or a line break is a protocol injection in the 2.x
 * client (it can carry a second command), wildcards would be taken literally, and `$JS.…`, `$SYS.…`, `$KV.…` and
 * inboxes are other people's APIs.
 */
export function subjectProblem(subject: unknown): string | undefined {
  if (typeof subject !== 'string') return 'it is not a string'
  if (subject === '') return 'it is empty'
  if (subject.length > LIMITS.subjectCharacters) return `it has more than ${LIMITS.subjectCharacters} characters`
  const tokens = subject.split('.')
  if (tokens.length > LIMITS.subjectTokens) return `it has more than ${LIMITS.subjectTokens} tokens`
  if (tokens.some((token) => token === '')) return 'it has an empty token'
  if (subject.startsWith('$')) return 'subjects that start with $ belong to the server'
  if (RESERVED_FIRST_TOKENS.has(tokens[0] ?? '')) return 'inboxes are not for messages'
  if (!tokens.every((token) => TOKEN.test(token))) return 'only A-Z a-z 0-9 _ and - are allowed between the dots'
  return undefined
}

/**
 * Parses the topic of a message.
 * @throws `POSTCOMMIT_INVALID_SUBJECT` with the reason.
 */
export function parseSubject(subject: string): string {
  const reason = subjectProblem(subject)
  if (reason === undefined) return subject
  throw new PostcommitError('POSTCOMMIT_INVALID_SUBJECT', { topic: JSON.stringify(subject) ?? String(subject), reason })
}
