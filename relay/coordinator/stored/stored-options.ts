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

type Options = StoredOptions & StoredBranchOptions

interface ReadOptions {
  readonly options: Options
  readonly problem: string | undefined
}

const NONE: ReadOptions = { options: {}, problem: undefined }
let latest: ReadOptions & { readonly text: string } = { text: '{}', ...NONE }

/**
 * Reads options as this project writes them. What is not like that counts as none, so that planning never fails; nothing
 * is called by such a row (`storedOptionsProblem`). The latest are kept: those of a transaction are read a dozen times in
 * a row.
 */
export function readStoredOptions(text: string | null): Options {
  return read(text).options
}

/** Why options are not such as this project writes, or `undefined`. */
export function storedOptionsProblem(text: string | null): string | undefined {
  return read(text).problem
}

function read(text: string | null): ReadOptions {
  if (text === null) return NONE
  if (text !== latest.text) latest = { text, ...parse(text) }
  return latest
}

const NUMBERS = ['requestTimeoutMs', 'ongoingMs', 'retryLimit', 'delayMs'] as const
const BOOLEANS = ['sharesRetryLimit', 'concurrent', 'oneByOne', 'lenient'] as const
const TEXTS = ['name', 'hint', 'key'] as const

function parse(text: string): ReadOptions {
  const refuse = (reason: string): ReadOptions => ({ options: {}, problem: `its options are not valid: ${reason}` })
  const options = objectIn(text)
  if (options === undefined) return refuse('not a JSON object')
  const strange = [
    ...NUMBERS.filter((name) => name in options && !isAmount(options[name])),
    ...BOOLEANS.filter((name) => name in options && typeof options[name] !== 'boolean'),
    ...TEXTS.filter((name) => name in options && typeof options[name] !== 'string'),
  ][0]
  if (strange !== undefined) return refuse(strange)
  const { retry, headers, dtm } = options
  if (retry !== undefined && !(isObject(retry) && isAmount(retry['baseMs']) && isAmount(retry['capMs']))) {
    return refuse('retry')
  }
  if (headers !== undefined && !(isObject(headers) && Object.values(headers).every((one) => typeof one === 'string'))) {
    return refuse('headers')
  }
  if (dtm !== undefined && !isObject(dtm)) return refuse('dtm')
  return { options, problem: undefined }
}

function objectIn(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

/** The options as text; undefined if there are none, which most transactions have. */
export function writeStoredOptions(options: StoredOptions | StoredBranchOptions): string | undefined {
  const text = JSON.stringify(options)
  return text === '{}' ? undefined : text
}
