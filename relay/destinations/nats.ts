import { messageId, NATS_DESTINATION } from 'postcommit/protocol'
import type { Broker } from '../broker/broker.ts'
import type { BackOff, Outcome } from '../engine/outcome.ts'
import type { PublishVerdict } from '../engine/publish-ack.ts'
import type { Destination } from './destination.ts'

const UNAVAILABLE_MS = 1000

/** The broker as a destination: for delayed messages, and for messages set aside from the log. */
export function createNatsDestination(broker: Broker, concurrency: number, backOff: BackOff): Destination {
  return {
    name: NATS_DESTINATION,
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
        broker.publish(message, (verdict) => resolve(outcomeOf(verdict, delivery.target)))
      }),
    close: async () => undefined,
  }
}

function outcomeOf(verdict: PublishVerdict, subject: string): Outcome {
  switch (verdict.kind) {
    case 'acked':
      return { kind: 'confirmed' }
    case 'refused':
      return { kind: 'refused', error: verdict.error, status: verdict.status }
    case 'no-stream':
      // Of this subject, not of the broker: the others must not wait for it, so the breaker must not see it.
      return { kind: 'failed', error: `no stream takes ${subject}`, status: 503, ofMessage: true }
    case 'outage':
      return { kind: 'unavailable', error: verdict.error, retryAfterMs: UNAVAILABLE_MS }
  }
}
