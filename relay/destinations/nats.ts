import { messageId, NATS_DESTINATION, OP_HEADER } from 'postcommit/protocol'
import type { Broker } from '../broker/broker.ts'
import type { CallAnswer } from '../engine/call-answer.ts'
import type { BackOff } from '../engine/outcome.ts'
import type { PublishVerdict } from '../engine/publish-ack.ts'
import { type Destination, PERMANENT_ATTEMPTS_MAX } from './destination.ts'
import { BRANCH_NAME_HEADER } from './destination-call.ts'

const UNAVAILABLE_MS = 1000
/** The broker connection gives up on an acknowledgement long before. */
const TIMEOUT_MS = 10_000

/** The broker as a destination: for delayed messages, messages set aside from the log, and branches that publish. */
export function createNatsDestination(broker: Broker, concurrency: number, backOff: BackOff): Destination {
  return {
    name: NATS_DESTINATION,
    timeoutMs: TIMEOUT_MS,
    concurrency,
    attemptsMax: Number.POSITIVE_INFINITY,
    permanentAttemptsMax: PERMANENT_ATTEMPTS_MAX,
    backOff,
    call: (call) =>
      new Promise((resolve) => {
        const { gid, branch, number, op, target, key, content = '', headers } = call
        const message = {
          messageId: messageId(gid, number),
          gid,
          branch: number,
          subject: target,
          key,
          content,
          headers: JSON.stringify(
            branch === String(number) ? headers : { ...headers, [BRANCH_NAME_HEADER]: branch, [OP_HEADER]: op },
          ),
        }
        broker.publish(message, (verdict) => resolve(answerOf(verdict)))
      }),
    close: async () => undefined,
  }
}

function answerOf(verdict: PublishVerdict): CallAnswer {
  switch (verdict.kind) {
    case 'acked':
      return { kind: 'done' }
    case 'refused':
      return { kind: 'impossible', error: verdict.error, status: verdict.status }
    case 'withheld': {
      const { error, scope: withheldBy, dueInMs, sent } = verdict
      return { kind: 'withheld', error, withheldBy, dueInMs, sent }
    }
    case 'outage':
      return { kind: 'unanswered', result: 'away', error: verdict.error, retryAfterMs: UNAVAILABLE_MS }
  }
}
