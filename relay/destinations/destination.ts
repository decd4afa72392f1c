import type { MessageHeaders } from 'postcommit/protocol'
import type { CallAnswer } from '../engine/call-answer.ts'
import type { BackOff } from '../engine/outcome.ts'
import type { DestinationCall } from './destination-call.ts'

/** One message on its way to one destination, as a function of this process is handed it. */
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

/** Of a destination that says nothing else: long enough to outlive a wrong deployment. */
export const PERMANENT_ATTEMPTS_MAX = 8

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
  /** After how many answers of 4xx a message is dead. */
  readonly permanentAttemptsMax: number
  /** First and longest pause between attempts. */
  readonly backOff: BackOff
  /**
   * Calls once, within its time limit; `signal` aborts it when the relay stops for good. It may reject, which is an
   * attempt that failed. Who asks for a place at the gate first: the dispatcher, the coordinator or a back-query.
   */
  call(call: DestinationCall, signal: AbortSignal): Promise<CallAnswer>
  close(): Promise<void>
}
