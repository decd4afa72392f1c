import { PostcommitError } from '../protocol/errors.ts'
import { sqlState } from './database-error.ts'

// Undefined table, function, column and schema: of a statement of ours it means a schema that is missing or older.
const UNDEFINED = new Set(['42P01', '42883', '42703', '3F000'])

/** The error of a statement of ours with what to do about it, if the schema is missing or of an older release. */
export function nameSchemaMissing(cause: unknown): unknown {
  if (!UNDEFINED.has(sqlState(cause) ?? '')) return cause
  // Without the types of a function's arguments, which push the advice out of sight.
  const reason = (cause instanceof Error ? cause.message : String(cause)).replace(/\(.*\)/s, '')
  return new PostcommitError('POSTCOMMIT_SCHEMA_MISSING', { reason }, { cause })
}

/** As {@link nameSchemaMissing}, of an error that can also be of the user's own: a deferred trigger, run by COMMIT. */
export function nameOurSchemaMissing(cause: unknown): unknown {
  return cause instanceof Error && /\bpostcommit\b/.test(cause.message) ? nameSchemaMissing(cause) : cause
}
