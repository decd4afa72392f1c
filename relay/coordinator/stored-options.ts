import type { MessageHeaders } from 'postcommit/protocol'

/** What `postcommit.global_transaction.options` holds: how a transaction is carried out. */
export interface StoredOptions {
  readonly name?: string | undefined
  readonly requestTimeoutMs?: number | undefined
  readonly retry?: { readonly baseMs: number; readonly capMs: number } | undefined
  /** Pause after Ongoing; default: the first pause of `retry`. */
  readonly ongoingMs?: number | undefined
  readonly retryLimit?: number | undefined
  /** The limit is for all branches together. */
  readonly sharesRetryLimit?: boolean | undefined
  /** Ops without `after` start together. */
  readonly concurrent?: boolean | undefined
  /** Compensate one by one. */
  readonly oneByOne?: boolean | undefined
  /** For every call. */
  readonly headers?: MessageHeaders | undefined
  /** Given back with a back-query. */
  readonly hint?: string | undefined
  /** For DTM's dialect: read answers as DTM does. */
  readonly lenient?: boolean | undefined
  /** For DTM's dialect: its options in its own words, to be shown and to name time limits by. */
  readonly dtm?: Readonly<Record<string, unknown>> | undefined
}

/** What `postcommit.branch.options` holds. */
export interface StoredBranchOptions {
  readonly headers?: MessageHeaders | undefined
  readonly key?: string | undefined
  readonly requestTimeoutMs?: number | undefined
  /** The first call is made no sooner than this after the transaction was submitted. */
  readonly delayMs?: number | undefined
}

const NONE: StoredOptions & StoredBranchOptions = {}
let latest = { text: '{}', options: NONE }

/**
 * Reads options that this project wrote; what is not there, or is not an object, is none. The latest are kept: those of a
 * transaction are read a dozen times in a row.
 */
export function readStoredOptions(text: string | null): StoredOptions & StoredBranchOptions {
  if (text === null) return NONE
  if (text !== latest.text) {
    const value: unknown = JSON.parse(text)
    latest = { text, options: typeof value === 'object' && value !== null ? value : NONE }
  }
  return latest.options
}

/** The options as text; undefined if there are none, which most transactions have. */
export function writeStoredOptions(options: StoredOptions | StoredBranchOptions): string | undefined {
  const text = JSON.stringify(options)
  return text === '{}' ? undefined : text
}
