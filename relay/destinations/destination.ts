import type { MessageHeaders } from 'postcommit/protocol'
import type { BackOff, Outcome } from '../engine/outcome.ts'
import type { BranchAnswer, DestinationCall } from './branch-call.ts'

/** One message on its way to one destination. */
export interface Delivery {
  /** Which source database it came from. */
  readonly source: string
  readonly gid: string
  /** The number of the message within its transaction, from 1. */
  readonly branch: number
  /** The configured name of the destination. */
  readonly destination: string
  /** Subject, path, or the name of a handler. */
  readonly target: string
  readonly key: string | undefined
  /** The exact content: JSON text, or bytes. */
  readonly content: string | Uint8Array
  readonly headers: MessageHeaders
  /** 1 for the first attempt. */
  readonly attempt: number
}

/** Where messages go: the broker, an HTTP service, a function in this process. */
export interface Destination {
  /** The configured name, as services write it. */
  readonly name: string
  /** How many deliveries may be under way at once. */
  readonly concurrency: number
  /** How long a call takes at most unless it says otherwise, milliseconds. */
  readonly timeoutMs: number
  /** After how many failed attempts a message is dead; Infinity: never. */
  readonly attemptsMax: number
  /** First and longest pause between attempts. */
  readonly backOff: BackOff
  /** Delivers once, within its own time limit; `signal` aborts it when the relay stops for good. */
  deliver(delivery: Delivery, signal: AbortSignal): Promise<Outcome>
  /** Calls a branch of a global transaction once, in the same way; never rejects. */
  call(call: DestinationCall, signal: AbortSignal): Promise<BranchAnswer>
  close(): Promise<void>
}
