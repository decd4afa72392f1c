import { type ErrorCode, PostcommitError, type Refusal, type TransactionStatus } from 'postcommit/protocol'

/** One thing that is wrong with a request, and where. */
export interface FieldProblem {
  readonly path: string
  readonly message: string
}

/** The body of an answer that is an error (RFC 9457). */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  /** A code of docs/errors.md: what programs go by. */
  readonly code: string
  readonly detail: string
  /** Whether the same request can succeed later without anybody changing anything. */
  readonly retryable: boolean
  /** What the log of the relay calls this request. */
  readonly requestId: string
  readonly gid?: string
  /** Where the transaction stands, if that is why. */
  readonly transactionStatus?: TransactionStatus
  readonly errors?: readonly FieldProblem[]
}

/** A request whose fields do not hold what they should; it names all of them. */
export class InvalidFields extends PostcommitError<'POSTCOMMIT_INVALID_REQUEST'> {
  readonly fields: readonly FieldProblem[]

  constructor(fields: readonly FieldProblem[]) {
    const reason = fields.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ')
    super('POSTCOMMIT_INVALID_REQUEST', { reason })
    this.fields = fields
  }
}

/** An operation that was refused, where it is the whole request. */
export class Refused extends Error {
  readonly refusal: Refusal

  constructor(refusal: Refusal) {
    super(refusal.message)
    this.refusal = refusal
  }
}

/** The status of every code that an answer can have; of those that are not here, 500. */
const STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  POSTCOMMIT_INVALID_REQUEST: 400,
  POSTCOMMIT_INVALID_GID: 400,
  POSTCOMMIT_UNAUTHENTICATED: 401,
  POSTCOMMIT_FORBIDDEN: 403,
  POSTCOMMIT_TARGET_NOT_ALLOWED: 403,
  POSTCOMMIT_UNKNOWN_ROUTE: 404,
  POSTCOMMIT_UNKNOWN_TRANSACTION: 404,
  POSTCOMMIT_UNKNOWN_TOPIC: 404,
  POSTCOMMIT_UNKNOWN_SOURCE: 404,
  POSTCOMMIT_MESSAGE_NOT_FOUND: 404,
  POSTCOMMIT_GID_CONFLICT: 409,
  POSTCOMMIT_TRANSACTION_DECIDED: 409,
  POSTCOMMIT_CANNOT_RESOLVE: 409,
  POSTCOMMIT_TOPIC_CHANGED: 409,
  POSTCOMMIT_REQUEST_TOO_LARGE: 413,
  POSTCOMMIT_UNSUPPORTED_MEDIA_TYPE: 415,
  POSTCOMMIT_RATE_LIMITED: 429,
  POSTCOMMIT_TOO_MANY_LISTENERS: 429,
  POSTCOMMIT_RELAY_UNAVAILABLE: 503,
  POSTCOMMIT_SOURCE_UNREADABLE: 503,
  POSTCOMMIT_QUERY_TOO_SLOW: 504,
}

/** The codes that answers of the API can have. */
export const PROBLEM_CODES = [...(Object.keys(STATUS) as ErrorCode[]), 'POSTCOMMIT_INTERNAL'] as const

/** The status that goes with a code; a code of another version is a failure of this one. */
function statusOf(code: string): number {
  return (STATUS as Readonly<Record<string, number | undefined>>)[code] ?? 500
}

/** An error as an answer. */
export function problemOf(error: PostcommitError | Refused, requestId: string): Problem {
  const { code, message, retryable, gid } = error instanceof Refused ? error.refusal : error
  const transactionStatus = error instanceof Refused ? error.refusal.status : undefined
  return {
    type: `urn:postcommit:error:${code}`,
    title: code
      .replace(/^POSTCOMMIT_/, '')
      .toLowerCase()
      .replaceAll('_', ' '),
    status: statusOf(code),
    code,
    detail: message,
    retryable,
    requestId,
    ...(gid !== undefined && { gid }),
    ...(transactionStatus !== undefined && { transactionStatus }),
    ...(error instanceof InvalidFields && { errors: error.fields }),
  }
}
