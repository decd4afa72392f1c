import { PostcommitError } from './errors.ts'
import { isOwnSubject } from './invalidation.ts'
import { LIMITS } from './limits.ts'

/** What is nothing but tokens and dots needs no closer look than at its length and its first token. */
const PLAIN = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){0,15}$/
const TOKEN = /^[A-Za-z0-9_-]+$/
const INBOX = '_INBOX'

/**
 * Why `subject` may not be published to, or `undefined` if it may.
 *
 * The grammar is narrower than NATS's own: a subject with a space or a line break is a protocol injection in the 2.x
 * client (it can carry a second command), wildcards would be taken literally, and `$JS.…`, `$SYS.…`, `$KV.…` and
 * inboxes are APIs of the server and its clients.
 */
export function subjectProblem(subject: unknown): string | undefined {
  if (typeof subject !== 'string') return 'it is not a string'
  if (PLAIN.test(subject) && subject.length <= LIMITS.subjectCharacters) return inboxProblem(subject)
  if (subject === '') return 'it is empty'
  if (subject.length > LIMITS.subjectCharacters) return `it has more than ${LIMITS.subjectCharacters} characters`
  const tokens = subject.split('.')
  if (tokens.length > LIMITS.subjectTokens) return `it has more than ${LIMITS.subjectTokens} tokens`
  if (tokens.some((token) => token === '')) return 'it has an empty token'
  if (subject.startsWith('$')) return 'subjects that start with $ belong to the server'
  if (!tokens.every((token) => TOKEN.test(token))) return 'only A-Z a-z 0-9 _ and - are allowed between the dots'
  return inboxProblem(subject)
}

function inboxProblem(subject: string): string | undefined {
  return subject === INBOX || subject.startsWith(`${INBOX}.`) ? 'inboxes are not for messages' : undefined
}

/** Why a service may not publish to `topic`, or `undefined` if it may: beside the grammar, what is this project's own. */
export function topicProblem(topic: unknown): string | undefined {
  const reason = subjectProblem(topic)
  if (reason !== undefined || !isOwnSubject(topic as string)) return reason
  return 'its first token is for the messages of message.invalidate'
}

/**
 * Parses the topic of a message.
 * @throws `POSTCOMMIT_INVALID_SUBJECT` with the reason.
 */
export function parseSubject(subject: string): string {
  const reason = topicProblem(subject)
  if (reason === undefined) return subject
  throw new PostcommitError('POSTCOMMIT_INVALID_SUBJECT', { topic: JSON.stringify(subject) ?? String(subject), reason })
}
