import type { MessageHeaders } from 'postcommit/protocol'
import type { CallResult } from '../engine/breaker.ts'

/** In whose words a branch is called: this project's headers, or DTM's query parameters. */
export type Dialect = 'v1' | 'dtm'

/** A call of a branch of a global transaction, or a question about one: what counts is the answer. */
export interface BranchCall {
  readonly gid: string
  readonly mode: string
  readonly branch: string
  /** The place of the branch in its transaction, from 1: what names it to a broker. */
  readonly number: number
  readonly op: string
  readonly dialect: Dialect
  /** Path, subject, name of a handler, or an absolute URL. */
  readonly target: string
  readonly key: string | undefined
  /** The exact content. Undefined: there is none. */
  readonly content: string | Uint8Array | undefined
  readonly headers: MessageHeaders
  /** 1 for the first attempt. */
  readonly attempt: number
  /** How long it may take; undefined: as the destination is configured. */
  readonly timeoutMs: number | undefined
}

/** What became of a call. */
export type BranchAnswer =
  /** An answer with a status of HTTP, which other kinds of destinations translate theirs into. */
  | {
      readonly kind: 'answered'
      readonly status: number
      /** At most {@link ANSWER_BYTES_MAX} of it; undefined if there was more. */
      readonly body: Buffer | undefined
      readonly retryAfterMs?: number | undefined
    }
  /** None. `result` is what that says about the destination; whether the call arrived is not known if it `failed`. */
  | { readonly kind: 'unanswered'; readonly result: Exclude<CallResult, 'ok'>; readonly error: string }
  /** It can never be made like this: the target is none, or is not allowed. */
  | { readonly kind: 'impossible'; readonly error: string }

/** More than a verdict or a result needs; whatever is longer is a page for people. */
export const ANSWER_BYTES_MAX = 64 * 1024

/** The name of a call for ever, the same at every attempt. */
export function callId({ gid, branch, op }: Pick<BranchCall, 'gid' | 'branch' | 'op'>): string {
  return `${gid}:${branch}:${op}`
}
