import { API_ERRORS } from './api-errors.ts'
import { CACHE_ERRORS } from './cache-errors.ts'
import { COMMIT_ERRORS } from './commit-errors.ts'
import { fillTemplate } from './fill-template.ts'
import { MESSAGE_ERRORS } from './message-errors.ts'
import { RECEIVER_ERRORS } from './receiver-errors.ts'
import { REDIS_OUTBOX_ERRORS } from './redis-outbox-errors.ts'
import { SERVER_ERRORS } from './server-errors.ts'
import { TRANSACTION_ERRORS } from './transaction-errors.ts'

/**
 * Every error this project throws on purpose, in one table: a stable code, what was wrong, what to do.
 *
 * A code is public contract: `docs/errors.md` lists exactly these, and a test throws each of them. `retryable` says
 * whether the same call can succeed later without a change.
 */
export const ERRORS = {
  ...MESSAGE_ERRORS,
  ...COMMIT_ERRORS,
  ...SERVER_ERRORS,
  ...RECEIVER_ERRORS,
  ...TRANSACTION_ERRORS,
  ...API_ERRORS,
  ...CACHE_ERRORS,
  ...REDIS_OUTBOX_ERRORS,
} as const satisfies Record<string, { message: string; action: string; retryable: boolean }>

/** A code of the table {@link ERRORS}. */
export type ErrorCode = keyof typeof ERRORS

// A name in braces is a placeholder; `{ messages }` with its spaces is code in the text.
type Placeholders<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? (Name extends `${string} ${string}` ? never : Name) | Placeholders<Rest>
  : never

type DetailsOf<Code extends ErrorCode> = Record<
  Placeholders<(typeof ERRORS)[Code]['message'] | (typeof ERRORS)[Code]['action']>,
  string | number
>

type DetailsArgument<Code extends ErrorCode> = keyof DetailsOf<Code> extends never
  ? [details?: Record<never, never>, options?: PostcommitErrorOptions]
  : [details: DetailsOf<Code>, options?: PostcommitErrorOptions]

/** What an error carries besides its text. */
export interface PostcommitErrorOptions {
  /** What went wrong underneath. */
  readonly cause?: unknown
  /** The global transaction the error is about. */
  readonly gid?: string
}

const BRAND = Symbol.for('postcommit.error')

/**
 * The one error class. Branch on {@link PostcommitError.code}; the text is for reading and may change.
 *
 * `instanceof` holds across two installed copies of the package, because the class is recognised by a registered
 * symbol and not by identity.
 *
 * @example
 * ```ts
 * try {
 *   await outbox.commit(placeOrder)
 * } catch (error) {
 *   if (error instanceof PostcommitError && error.code === 'POSTCOMMIT_COMMIT_UNKNOWN') await error.resolve?.()
 *   throw error
 * }
 * ```
 */
export class PostcommitError<Code extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'PostcommitError'
  /** The stable code. */
  readonly code: Code
  /** What to do about it, one or two sentences. */
  readonly action: string
  /** Whether the same call can succeed later without a change. */
  readonly retryable: boolean
  /** The global transaction the error is about, where there is one. */
  readonly gid: string | undefined
  /**
   * Only on `POSTCOMMIT_COMMIT_UNKNOWN`: asks the database again. Resolves to `true` if the transaction is committed
   * and its messages will be delivered, `false` if it rolled back; rejects with the same code while it is unknown.
   */
  resolve?: () => Promise<boolean>

  constructor(code: Code, ...[details, options]: DetailsArgument<Code>) {
    const entry = ERRORS[code]
    const values: Record<string, string | number> = details ?? {}
    super(
      `${fillTemplate(entry.message, values)}. ${fillTemplate(entry.action, values)} (${code})`,
      options?.cause === undefined ? undefined : { cause: options.cause },
    )
    this.code = code
    this.action = fillTemplate(entry.action, values)
    this.retryable = entry.retryable
    this.gid = options?.gid
    Object.defineProperty(this, BRAND, { value: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && BRAND in value
  }
}
