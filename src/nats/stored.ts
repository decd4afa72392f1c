/** Where a stream has stored a message. */
export interface Stored {
  readonly stream: string
  readonly sequence: number
}

/**
 * Reads the answer to a publish that a stream should have stored; undefined if it does not say so. A refusal names the stream
 * as well, and a leader that was cut off from its peers answers a repeated message as a duplicate without a number: only a
 * number from 1 and no error is an acknowledgement.
 */
export function readStored(answer: unknown): Stored | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined
  const { stream, seq, error } = answer as Readonly<Record<string, unknown>>
  const isNamed = error === undefined && typeof stream === 'string' && stream !== ''
  if (!isNamed || typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 1) return undefined
  return { stream, sequence: seq }
}
