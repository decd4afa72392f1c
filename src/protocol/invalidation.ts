/** The first token of the subjects that are this project's own; services cannot publish to them. */
const OWN_SUBJECT = 'postcommit'

/** Invalidations are published below it, one token more: the name of what is cached. */
export const INVALIDATION_SUBJECT = `${OWN_SUBJECT}.cache`

/** The stream of the invalidations, unless a service has one of its own for them. */
export const CACHE_STREAM = 'POSTCOMMIT_CACHE'

const INVALIDATION_TOPIC = /^postcommit\.cache\.[A-Za-z0-9_-]{1,64}$/

/** Whether a subject is one that services cannot publish to. */
export function isOwnSubject(subject: string): boolean {
  return subject === OWN_SUBJECT || subject.startsWith(`${OWN_SUBJECT}.`)
}

/** Whether a subject is one that `message.invalidate` publishes to. */
export function isInvalidationTopic(subject: string): boolean {
  return INVALIDATION_TOPIC.test(subject)
}

/** What an invalidation says. */
export interface InvalidationPayload {
  readonly key: string
  /** What the key was made of, for who compares the cache with the database; absent where it is no JSON value. */
  readonly id?: unknown
}

/** The subject of the invalidations of a name. */
export function invalidationTopic(name: string): string {
  return `${INVALIDATION_SUBJECT}.${name}`
}

/** The ordering key of the invalidations of one value. */
export function invalidationKey(name: string, key: string): string {
  return `${name}:${key}`
}
