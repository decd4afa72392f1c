import type { Readable } from 'node:stream'
import type pg from 'pg'
import type { OperationAnswer, TransactionOperation } from 'postcommit/protocol'
import type { z } from 'zod'
import type { TargetRules } from '../coordinator/intake/target-rules.ts'
import { shownJson } from '../engine/error-text.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Scope } from './api-key.ts'
import type { Caller } from './authenticator.ts'
import type { Operated } from './operated.ts'
import { InvalidFields } from './problem.ts'

/** What the API asks to carry out operations; see `Transactions`. */
export interface Performing {
  perform(operation: TransactionOperation, tenant: string): Promise<OperationAnswer>
}

/** What routes work with. */
export interface ApiContext {
  /** For reading, and for what people do. */
  readonly pool: pg.Pool
  /** Undefined while the relay is not there yet. */
  readonly transactions: () => Performing | undefined
  /** What may subscribe to a topic. */
  readonly targets: Pick<TargetRules, 'problemOfTarget'>
  /** What operators look at and act on. */
  readonly operated: Operated
  readonly metrics: Metrics
  /** Charges a tenant with operations beyond the one that every request is. */
  readonly charge: (tenant: string, operations: number) => void
  /** Whether the relay is being stopped. */
  readonly isDraining: () => boolean
  /** An error nobody foresaw; the caller is told the id that it is logged under. */
  readonly onUnknownError: (error: unknown) => void
}

/** A request, whose sender is known. */
export interface Call {
  readonly caller: Caller
  readonly params: Readonly<Record<string, string>>
  readonly query: unknown
  /** The body as it came in; empty if there was none. */
  readonly text: string
  /** Where a listener to events was before. */
  readonly lastEventId: string | undefined
}

/** What is answered. */
export type Reply =
  | {
      readonly status: number
      /** JSON text; empty for an answer without a body. */
      readonly json: string
    }
  /** An answer that goes on: text/event-stream. */
  | { readonly status: 200; readonly events: Readable }

/** One thing that the API can be asked, as it is served and as it is documented. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** `/v1/transactions/{gid}:submit`; also what metrics call it. */
  readonly path: string
  readonly summary: string
  readonly tag: string
  /** What a key needs. `operation`: each operation of the body needs its own. Undefined: not even a key. */
  readonly scope: Scope | 'operation' | undefined
  readonly query?: z.ZodObject
  readonly body?: z.ZodType
  readonly isBodyOptional?: boolean
  readonly bodyBytesMax: number
  /** It is answered for as long as the client listens; a HEAD for it would listen without being heard. */
  readonly isEndless?: boolean
  readonly answers: Readonly<Record<number, { readonly description: string; readonly schema?: z.ZodType }>>
  handle(call: Call, context: ApiContext): Promise<Reply>
}

/** For requests that name things and give reasons. */
export const SMALL_BODY_BYTES = 16 * 1024

/** An answer of a value. */
export function reply(value: unknown, status = 200): Reply {
  return { status, json: JSON.stringify(value) }
}

/** An answer of a value in which services have written: escaped, and no text in it without end. */
export function shown(value: unknown): Reply {
  return { status: 200, json: shownJson(value) }
}

/**
 * Reads a body by its schema.
 * @throws `POSTCOMMIT_INVALID_REQUEST` naming everything that is wrong.
 */
export function readBody<T extends z.ZodType>(schema: T, { text }: Call): z.output<T> {
  let value: unknown
  try {
    value = text === '' ? {} : JSON.parse(text)
  } catch {
    throw new InvalidFields([{ path: '', message: 'it is not JSON' }])
  }
  return check(schema, value)
}

/**
 * Reads the query of an address by its schema.
 * @throws `POSTCOMMIT_INVALID_REQUEST` naming everything that is wrong.
 */
export function readQuery<T extends z.ZodType>(schema: T, { query }: Call): z.output<T> {
  return check(schema, query)
}

function check<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const fields = result.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }))
  throw new InvalidFields(fields.slice(0, PROBLEMS_MAX))
}

const PROBLEMS_MAX = 20
