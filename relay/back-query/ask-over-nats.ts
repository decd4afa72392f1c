import type { Broker } from '../broker/broker.ts'
import { readStoredTarget } from '../coordinator/stored-target.ts'
import { readVerdict } from '../engine/read-verdict.ts'
import { type Ask, questionAbout } from './asker.ts'

const TIMEOUT_MS = 2000

/** Asks the service on a subject: a request of core NATS, with the question as its text and the verdict as its answer. */
export function askOverNats(current: () => Broker | undefined): Ask {
  return async (row) => {
    const broker = current()
    if (broker === undefined) return { outcome: 'unreachable', error: 'this relay has no NATS' }
    const route = readStoredTarget(row.checkTarget ?? '')
    if (route.kind !== 'named') return { outcome: 'unknown', error: 'its target is none' }
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
