import type { Acked, PublishVerdict, WithheldCause } from '../engine/publish-ack.ts'
import { Refusals, streamScope, subjectScope } from '../engine/refusals.ts'
import { sortSilence } from '../engine/sort-silence.ts'
import type { PublishReply } from './ack-multiplexer.ts'
import type { BrokerMessage } from './broker-message.ts'

/** What publishes are sorted with. */
export interface SortedPublishingOptions {
  readonly send: (message: BrokerMessage, settle: (reply: PublishReply, number: number) => void) => void
  /** How long a message is asked about again before the lack of an answer is judged, milliseconds. */
  readonly ackTimeoutMs: number
  /** Which streams take a subject; undefined if JetStream does not say. */
  readonly streamsOf: (subject: string) => Promise<readonly string[] | undefined>
  /** What a stream takes; empty if JetStream does not say. */
  readonly subjectsOf: (stream: string) => Promise<readonly string[]>
  /** The stream that is configured for a subject. */
  readonly expectedStream: (subject: string) => string | undefined
  readonly onAcked: () => void
  readonly onOutage: (error: string) => void
  readonly onWithheld: (withheld: { scope: string; cause: WithheldCause; error: string }) => void
  /** A subject or stream takes messages again. */
  readonly onCleared: (scope: string) => void
}

interface Attempt {
  readonly message: BrokerMessage
  readonly settle: (verdict: PublishVerdict) => void
  /** The scope that it is the probe of. */
  readonly probe: string | undefined
  readonly startedAt: number
  /** Of its first publish; what is acknowledged under a higher number was sent later. */
  number: number
}

/** An acknowledgement, as far as it says that something gets through. */
interface Passed {
  subject: string
  stream: string
  number: number
}

const AGAIN_FIRST_MS = 100

/**
 * Sorts what the broker answers, and what it does not, into three: about this message, about its subject or stream, or
 * about the broker as a whole. What is refused for its subject or stream is remembered, and until a probe gets through
 * nothing else of it is sent.
 */
export class SortedPublishing {
  readonly refusals = new Refusals()
  readonly #options: SortedPublishingOptions
  /** The newest acknowledgement, and the newest of another subject than that. */
  #newest: Passed = { subject: '', stream: '', number: 0 }
  #other: Passed = { subject: '', stream: '', number: 0 }

  constructor(options: SortedPublishingOptions) {
    this.#options = options
  }

  /** Sends a message unless its subject or stream is known to take none; calls `settle` exactly once. */
  publish(message: BrokerMessage, settle: (verdict: PublishVerdict) => void): void {
    const startedAt = performance.now()
    const admission = this.refusals.admit(message.subject, startedAt, Math.random())
    switch (admission.kind) {
      case 'send':
        this.#send({ message, settle, probe: undefined, startedAt, number: 0 }, AGAIN_FIRST_MS)
        return
      case 'probe':
        this.#send({ message, settle, probe: admission.scope, startedAt, number: 0 }, AGAIN_FIRST_MS)
        return
      case 'withhold': {
        const { scope, error, dueInMs } = admission
        settle({ kind: 'withheld', scope, error, dueInMs, sent: false })
        return
      }
    }
  }

  #send(attempt: Attempt, againMs: number): void {
    this.#options.send(attempt.message, (reply, number) => {
      if (attempt.number === 0) attempt.number = number
      this.#heard(attempt, reply, number, againMs)
    })
  }

  #heard(attempt: Attempt, reply: PublishReply, number: number, againMs: number): void {
    switch (reply.kind) {
      case 'acked':
        this.#acked(attempt, reply, number)
        return
      case 'refused':
        if (attempt.probe !== undefined) this.refusals.unprobed(attempt.probe)
        attempt.settle(reply)
        return
      case 'withheld':
        this.#withhold(attempt, reply.cause, reply.stream, reply.error)
        return
      case 'no-responders':
        void this.#askedInVain(attempt, againMs)
        return
      case 'unknown':
        this.#again(attempt, againMs, undefined, reply.error)
        return
      case 'silence':
        void this.#silent(attempt, reply.foreign, reply.error)
        return
      case 'outage':
        this.#outage(attempt, reply.error)
        return
    }
  }

  #acked(attempt: Attempt, reply: Acked, number: number): void {
    const { subject } = attempt.message
    const { stream } = reply
    const expected = this.#options.expectedStream(subject)
    if (expected !== undefined && expected !== stream) {
      this.#withhold(attempt, 'foreign', undefined, `${stream} has answered, and ${expected} takes ${subject}`)
      return
    }
    if (this.#newest.subject !== subject) [this.#newest, this.#other] = [this.#other, this.#newest]
    this.#newest.subject = subject
    this.#newest.stream = stream
    this.#newest.number = Math.max(number, attempt.number)
    this.#options.onAcked()
    for (const scope of this.refusals.acked(subject, stream)) this.#options.onCleared(scope)
    if (attempt.probe !== undefined) this.#clear(attempt.probe)
    attempt.settle(reply)
  }

  /** Nothing took the subject: no stream has it, its stream has no leader at the moment, or JetStream is away. */
  async #askedInVain(attempt: Attempt, againMs: number): Promise<void> {
    const { subject } = attempt.message
    const streams = await this.#options.streamsOf(subject)
    if (streams?.length === 0) this.#withhold(attempt, 'missing', undefined, `no stream takes ${subject}`)
    else this.#again(attempt, againMs, streams, 'JetStream does not answer')
  }

  /** Sends it again under its id, or judges if that has been done for long enough. */
  #again(attempt: Attempt, againMs: number, streams: readonly string[] | undefined, error: string): void {
    if (performance.now() + againMs - attempt.startedAt > this.#options.ackTimeoutMs) {
      this.#judge(attempt, undefined, streams, error)
      return
    }
    setTimeout(() => this.#send(attempt, 2 * againMs), againMs)
  }

  async #silent(attempt: Attempt, foreign: string | undefined, error: string): Promise<void> {
    const streams = foreign === undefined ? await this.#options.streamsOf(attempt.message.subject) : undefined
    this.#judge(attempt, foreign, streams, error)
  }

  #judge(attempt: Attempt, foreign: string | undefined, streams: readonly string[] | undefined, error: string): void {
    const { subject } = attempt.message
    const ackedBy = this.#ackedLater(subject, attempt.number)
    const silence = sortSilence({ foreign: foreign !== undefined, streams, ackedBy })
    switch (silence.of) {
      case 'broker':
        this.#outage(attempt, error)
        return
      case 'stream':
        this.#withhold(attempt, silence.cause, silence.stream, error)
        return
      case 'subject': {
        const text = { foreign: foreign ?? error, missing: `no stream takes ${subject}`, silent: error }[silence.cause]
        this.#withhold(attempt, silence.cause, undefined, text)
        return
      }
    }
  }

  /** The stream that has acknowledged another subject, sent after the publish with this number. */
  #ackedLater(subject: string, number: number): string | undefined {
    const passed = this.#newest.subject === subject ? this.#other : this.#newest
    return passed.number > number ? passed.stream : undefined
  }

  #withhold(attempt: Attempt, cause: WithheldCause, stream: string | undefined, error: string): void {
    const { subject } = attempt.message
    const scope = stream === undefined ? subjectScope(subject) : streamScope(stream)
    const { probe } = attempt
    // The stream is another one by now, or it is the subject alone: what waits for the old scope is to be looked at anew.
    if (probe !== undefined && probe !== scope) this.#clear(probe)
    const known = this.refusals.size
    const refused = { scope, cause, error, subject, probe: probe === scope }
    const dueInMs = this.refusals.refuse(refused, performance.now(), Math.random())
    if (stream !== undefined && this.refusals.size !== known) void this.#learn(scope, stream)
    this.#options.onWithheld({ scope, cause, error })
    attempt.settle({ kind: 'withheld', scope, error, dueInMs, sent: true })
  }

  async #learn(scope: string, stream: string): Promise<void> {
    this.refusals.learn(scope, await this.#options.subjectsOf(stream))
  }

  #clear(scope: string): void {
    if (this.refusals.forget(scope)) this.#options.onCleared(scope)
  }

  #outage(attempt: Attempt, error: string): void {
    if (attempt.probe !== undefined) this.refusals.unprobed(attempt.probe)
    this.#options.onOutage(error)
    attempt.settle({ kind: 'outage', error })
  }
}
