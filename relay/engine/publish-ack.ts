/** An acknowledgement: which stream has the message, and under which number. */
export interface Acked {
  readonly kind: 'acked'
  readonly stream: string
  readonly sequence: number
  readonly duplicate: boolean
}

/** The broker will not take this message, now or later. */
export interface Refused {
  readonly kind: 'refused'
  readonly error: string
  readonly status: number
}

/** Why a subject or a stream takes nothing at the moment. */
export type WithheldCause = 'full' | 'sealed' | 'missing' | 'denied' | 'foreign' | 'silent'

/** What one answer to a publish says by itself. */
export type PublishAnswer =
  | Acked
  | Refused
  /** This subject, or the whole of `stream` if that is named, takes nothing at the moment. */
  | {
      readonly kind: 'withheld'
      readonly cause: WithheldCause
      readonly stream: string | undefined
      readonly error: string
    }
  /** Nothing took the subject: no stream has it, its stream has no leader, or JetStream is away. */
  | { readonly kind: 'no-responders' }
  /** Whatever answered is not JetStream; the answer of JetStream may still come. */
  | { readonly kind: 'foreign'; readonly error: string }
  /** Whether it was stored cannot be told from this: to be asked again under the same id. */
  | { readonly kind: 'unknown'; readonly error: string }

/** What became of a publish, after the answers and silences of the broker have been sorted. */
export type PublishVerdict =
  | Acked
  | Refused
  /** Held back with everything else of `scope`, which names a subject or a stream. Unknown whether it was stored. */
  | {
      readonly kind: 'withheld'
      readonly scope: string
      readonly error: string
      /** When this message is to be tried again. */
      readonly dueInMs: number
      /** False: it was not even sent, because the scope is known to take nothing. */
      readonly sent: boolean
    }
  /** The broker as a whole cannot take messages now, or gave no answer: unknown whether it was stored. */
  | { readonly kind: 'outage'; readonly error: string }

const NO_RESPONDERS = 503

// JetStream API errors about this message itself: too large for the stream, headers that are too large, a wrong expected
// stream, id or sequence, a header the stream does not allow, a time to live that is invalid or not allowed.
const MESSAGE_ERRORS = new Set([10054, 10060, 10070, 10071, 10097, 10111, 10165, 10166])
const STREAM_CAUSES: ReadonlyMap<number, WithheldCause> = new Map([
  [10059, 'missing'],
  [10077, 'full'],
  [10109, 'sealed'],
])
/** Of a store that is full for one subject only; a stream that is full says the same under the same number. */
const FULL_SUBJECT = /per subject/

const BRACE = 125
/** Fewer digits than a number can hold exactly. */
const DIGITS_MAX = 15

/**
 * Reads answers of which one is much like another: what comes before the sequence is the same for a whole stream, so an
 * answer that begins as the last one did is read without looking at that again. 0.1 µs instead of 0.3.
 */
export class PublishAckReader {
  #prefix = ''
  #stream = ''

  /** Reads an answer, exactly as {@link readPublishAck}. */
  read(status: number, body: string): PublishAnswer {
    if (status === 0 && this.#prefix !== '' && body.startsWith(this.#prefix)) {
      const sequence = digitsBeforeBrace(body, this.#prefix.length)
      if (sequence !== undefined && sequence > 0) {
        return { kind: 'acked', stream: this.#stream, sequence, duplicate: false }
      }
    }
    const verdict = readPublishAck(status, body)
    const usual = status === 0 ? USUAL.exec(body) : null
    if (verdict.kind === 'acked' && usual?.[2] !== undefined && usual[3] === undefined) {
      this.#stream = verdict.stream
      this.#prefix = body.slice(0, -1 - usual[2].length)
    }
    return verdict
  }
}

/** The number between `from` and a brace at the very end; undefined if there is anything else or it is too long. */
function digitsBeforeBrace(text: string, from: number): number | undefined {
  const end = text.length - 1
  const count = end - from
  if (count < 1 || count > DIGITS_MAX || text.charCodeAt(end) !== BRACE) return undefined
  let number = 0
  for (let at = from; at < end; at += 1) {
    const digit = text.charCodeAt(at) - 48
    if (digit < 0 || digit > 9) return undefined
    number = number * 10 + digit
  }
  // Nobody writes a number with a zero in front; what does is for the thorough way to judge.
  return count > 1 && text.charCodeAt(from) === 48 ? undefined : number
}

/** How servers write an acknowledgement. Reading it so takes 0.3 µs, parsing it as JSON 0.7; what differs is parsed. */
const USUAL = /^\{"stream":"([\w-]+)", ?"seq":([1-9]\d{0,14})(, ?"duplicate": ?true)?\}$/

/**
 * Reads the answer to a publish. An acknowledgement has the name of a stream and a number from 1; anything less is none.
 * A leader that was cut off from its peers answers `{"stream":"ORDERS","seq":0,"duplicate":true}` to an id that it has only
 * staged (nats-server 2.10.14 to 2.10.29), and later ones error 10158: the message may be lost with that leader.
 *
 * @param status - the status code in the header of the answer, 0 without one
 * @param body - the body of the answer
 */
export function readPublishAck(status: number, body: string): PublishAnswer {
  if (status === NO_RESPONDERS) return { kind: 'no-responders' }
  if (status !== 0) return { kind: 'foreign', error: `answered with status ${status}` }
  const usual = USUAL.exec(body)
  if (usual?.[1] !== undefined) {
    return { kind: 'acked', stream: usual[1], sequence: Number(usual[2]), duplicate: usual[3] !== undefined }
  }
  const answer = parseAnswer(body)
  if (answer === undefined) return { kind: 'foreign', error: 'answered by something that is not JetStream' }
  const { stream, seq, duplicate, error } = answer
  // An error counts whatever stands beside it.
  if (error !== undefined) return readError(error, stream)
  if (typeof stream !== 'string' || stream === '' || typeof seq !== 'number') {
    return { kind: 'foreign', error: 'answered by something that is not JetStream' }
  }
  if (!Number.isSafeInteger(seq) || seq < 1) {
    return { kind: 'unknown', error: `stream ${stream} answers without a number (seq ${seq})` }
  }
  return { kind: 'acked', stream, sequence: seq, duplicate: duplicate === true }
}

function readError(error: unknown, stream: unknown): PublishAnswer {
  if (typeof error !== 'object' || error === null) {
    return { kind: 'foreign', error: 'answered by something that is not JetStream' }
  }
  const { code, err_code: errCode, description } = error as Readonly<Record<string, unknown>>
  if (typeof errCode !== 'number') return { kind: 'foreign', error: 'answered by something that is not JetStream' }
  const text = `${typeof description === 'string' ? description : ''} (${errCode})`
  if (MESSAGE_ERRORS.has(errCode)) {
    return { kind: 'refused', error: text, status: typeof code === 'number' ? code : 0 }
  }
  const cause = STREAM_CAUSES.get(errCode)
  // What is not known to concern one stream may concern all of them: what else gets through will tell.
  if (cause === undefined) return { kind: 'unknown', error: text }
  const isOfStream = typeof stream === 'string' && stream !== '' && !FULL_SUBJECT.test(text)
  return { kind: 'withheld', cause, stream: isOfStream ? stream : undefined, error: text }
}

interface Answer {
  readonly stream?: unknown
  readonly seq?: unknown
  readonly duplicate?: unknown
  readonly error?: unknown
}

function parseAnswer(body: string): Answer | undefined {
  try {
    const answer: unknown = JSON.parse(body)
    return typeof answer === 'object' && answer !== null ? answer : undefined
  } catch {
    return undefined
  }
}
