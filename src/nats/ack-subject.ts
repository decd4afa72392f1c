/** What JetStream says about a delivered message in the subject that takes its acknowledgement. */
export interface AckSubject {
  readonly stream: string
  readonly consumer: string
  /** How often the server has delivered it, from 1. */
  readonly deliveries: number
  /** Its place in the stream. */
  readonly sequence: number
  /**
   * When the stream took it, nanoseconds as text. With the sequence it is the identity of a message: a stream that
   * was wiped, or lost its tail, gives the same sequence to another message.
   */
  readonly stamp: string
}

/**
 * Reads `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<stamp>.<pending>`, and the longer
 * form of newer servers, which has the domain and the account before the stream and may have one token more at the
 * end. Undefined for any other subject.
 */
export function parseAckSubject(subject: string): AckSubject | undefined {
  const tokens = subject.split('.')
  if (tokens[0] !== '$JS' || tokens[1] !== 'ACK') return undefined
  const at = tokens.length === 9 ? 2 : tokens.length >= 11 ? 4 : undefined
  if (at === undefined) return undefined
  const [stream, consumer, deliveries, sequence, , stamp] = tokens.slice(at)
  if (stream === undefined || consumer === undefined || stamp === undefined || !/^\d+$/.test(stamp)) return undefined
  const [times, place] = [Number(deliveries), Number(sequence)]
  if (!Number.isSafeInteger(times) || times < 1 || !Number.isSafeInteger(place) || place < 1) return undefined
  return { stream, consumer, deliveries: times, sequence: place, stamp }
}

/** The texts that answer a delivery. */
export const Ack = {
  /** Handled: never send it again. */
  Done: '+ACK',
  /** Send it again, now. Also calls back a message that was put off. */
  Again: '-NAK',
  /** Still at it: start the wait for an answer anew. */
  Working: '+WPI',
  /** Never send it again although it was not handled. */
  Never: '+TERM',
} as const
