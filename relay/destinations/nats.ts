import { messageId, NATS_DESTINATION, OP_HEADER } from 'postcommit/protocol'
import type { Broker } from '../broker/broker.ts'
import type { BackOff, Outcome } from '../engine/outcome.ts'
import type { PublishVerdict } from '../engine/publish-ack.ts'
import { BRANCH_NAME_HEADER, type BranchAnswer } from './branch-call.ts'
import type { Destination } from './destination.ts'

const UNAVAILABLE_MS = 1000
/** The broker connection gives up on an acknowledgement long before. */
const TIMEOUT_MS = 10_000

/** The broker as a destination: for delayed messages, and for messages set aside from the log. */
export function createNatsDestination(broker: Broker, concurrency: number, backOff: BackOff): Destination {
  return {
    name: NATS_DESTINATION,
    timeoutMs: TIMEOUT_MS,
    concurrency,
    attemptsMax: Number.POSITIVE_INFINITY,
    backOff,
    deliver: (delivery) =>
      new Promise((resolve) => {
        const message = {
          messageId: messageId(delivery.gid, delivery.branch),
          gid: delivery.gid,
          branch: delivery.branch,
          subject: delivery.target,
          key: delivery.key,
          content: delivery.content,
          headers: JSON.stringify(delivery.headers),
        }
        broker.publish(message, (verdict) => resolve(outcomeOf(verdict)))
      }),
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
          headers: JSON.stringify({ ...headers, [BRANCH_NAME_HEADER]: branch, [OP_HEADER]: op }),
        }
        broker.publish(message, (verdict) => resolve(answerOf(verdict)))
      }),
    close: async () => undefined,
  }
}

/** The acknowledgement of a stream as an answer: it has the message, which is all that a publish can be asked for. */
function answerOf(verdict: PublishVerdict): BranchAnswer {
  switch (verdict.kind) {
    case 'acked':
      return { kind: 'answered', status: 200, body: Buffer.alloc(0) }
    case 'refused':
      return { kind: 'impossible', error: verdict.error }
    case 'withheld':
      // Of its subject or stream: the breaker of the broker must not open for it.
      return { kind: 'unanswered', result: 'failed', error: verdict.error }
    case 'outage':
      return { kind: 'unanswered', result: 'away', error: verdict.error }
  }
}

function outcomeOf(verdict: PublishVerdict): Outcome {
  switch (verdict.kind) {
    case 'acked':
      return { kind: 'confirmed' }
    case 'refused':
      return { kind: 'refused', error: verdict.error, status: verdict.status }
    case 'withheld': {
      const { error, scope: withheldBy, dueInMs, sent } = verdict
      return { kind: 'withheld', error, withheldBy, dueInMs, sent }
    }
    case 'outage':
      return { kind: 'unavailable', error: verdict.error, retryAfterMs: UNAVAILABLE_MS }
  }
}
