import type { Broker } from '../../broker/broker.ts'
import { readVerdict } from '../../engine/read-verdict.ts'
import { readStoredTarget } from '../stored/stored-target.ts'
import { type Ask, questionAbout, unanswerable } from './asker.ts'

const TIMEOUT_MS = 2000

/**
 * Asks the service on a subject: a request of core NATS, with the question as its text and the verdict as its answer.
 *
 * @param asksOn - whether questions are put on a subject at all: a row is not proof that it was looked at when it was
 * handed in
 */
export function askOverNats(current: () => Broker | undefined, asksOn: (subject: string) => boolean): Ask {
  return async (row) => {
    const broker = current()
    if (broker === undefined) return { outcome: 'unreachable', error: 'this relay has no NATS' }
    const route = readStoredTarget(row.checkTarget ?? '')
    if (route.kind !== 'named') return unanswerable(route)
    if (!asksOn(route.target)) return { outcome: 'unknown', error: 'this relay asks on no such subject' }
    if (!broker.connected) return { outcome: 'unreachable', error: 'the connection to NATS is down' }
    const question = questionAbout(row)
    try {
      const connection = await broker.connection()
      const answer = await connection.request(route.target, JSON.stringify(question), { timeout: TIMEOUT_MS })
      const outcome = readVerdict({ status: 200, text: answer.string() }, question)
      return outcome === 'unknown' ? { outcome, error: 'answered without a verdict' } : { outcome }
    } catch (error) {
      // No responders, or no answer in time.
      return { outcome: 'unreachable', error: error instanceof Error ? error.message : String(error) }
    }
  }
}
