import { type NatsConnection, NoRespondersError, RequestError, TimeoutError } from '@nats-io/transport-node'
import { reasonOf } from '../shell/sources.ts'
import { type Check, checksAbout } from './check.ts'

const TIMEOUT_MS = 2000
const { ok, warn, fail } = checksAbout('coordinator')

/**
 * Whether this user may ask on the subjects of back-queries, and whether somebody answers. The question has no content,
 * so whoever gets it has nothing to look up; where a filter has wildcards, it goes to a subject that nobody serves.
 */
export async function checkSubjects(connection: NatsConnection, filters: readonly string[]): Promise<readonly Check[]> {
  return await Promise.all(filters.map((filter) => checkSubject(connection, filter)))
}

async function checkSubject(connection: NatsConnection, filter: string): Promise<Check> {
  const name = `subject ${filter}`
  const isOpen = /[*>]/.test(filter)
  const subject = filter.replace(/[*>]/g, 'postcommit-doctor')
  try {
    await connection.request(subject, '', { timeout: TIMEOUT_MS })
    return ok(name, 'this user may ask on it, and is answered')
  } catch (error) {
    const cause = error instanceof RequestError ? error.cause : error
    if (cause instanceof NoRespondersError) {
      if (isOpen) return ok(name, 'this user may ask on what it stands for')
      return warn(name, 'no service answers on it now', 'Start the service that calls answerBackQueries() for it.')
    }
    if (cause instanceof TimeoutError) {
      return warn(name, `no answer within ${TIMEOUT_MS} ms`, 'See whether its service runs and reaches its database.')
    }
    const action = 'Allow this user to publish there and to subscribe to its inbox: until then messages stay in doubt.'
    return fail(name, reasonOf(cause), action)
  }
}
