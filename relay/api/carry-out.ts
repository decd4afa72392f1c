import {
  type Gid,
  type OperationAnswer,
  PostcommitError,
  type Refusal,
  type TransactionOperation,
} from 'postcommit/protocol'
import type { Scope } from './api-key.ts'
import type { Caller } from './authenticator.ts'
import type { ApiContext } from './route.ts'

const SCOPE_OF = {
  prepare: 'prepare',
  registerBranch: 'prepare',
  submit: 'submit',
  abort: 'abort',
  query: 'read',
} as const satisfies Record<TransactionOperation['do'], Scope>

/**
 * Carries out one operation. Never rejects: what goes wrong with it is its answer, and nobody else's.
 *
 * What could not be found out (the database is away, too many wait) may have been recorded; its answer is one that can be
 * repeated, and repeating it with the same gid is harmless.
 */
export async function carryOut(
  operation: TransactionOperation,
  { tenant, scopes }: Caller,
  context: ApiContext,
): Promise<OperationAnswer> {
  const { gid } = operation
  const scope = SCOPE_OF[operation.do]
  const { apiOperations } = context.metrics
  if (!scopes.has(scope)) {
    apiOperations.inc({ do: operation.do, outcome: 'refused' })
    return refusal(gid, forbidden(scope))
  }
  try {
    const answer = await serving(context).perform(operation, tenant)
    apiOperations.inc({ do: operation.do, outcome: answer.outcome })
    return answer
  } catch (error) {
    apiOperations.inc({ do: operation.do, outcome: 'unknown' })
    return refusal(gid, asUnavailable(error, context))
  }
}

/** The error of a caller whose key has not the scope. */
export function forbidden(scope: Scope): PostcommitError<'POSTCOMMIT_FORBIDDEN'> {
  return new PostcommitError('POSTCOMMIT_FORBIDDEN', { reason: `the key has not the scope ${scope}` })
}

/** The error to answer with, when the relay or its database was not able to. What it says never quotes the database. */
export function asUnavailable(error: unknown, { onUnknownError }: Pick<ApiContext, 'onUnknownError'>): PostcommitError {
  if (error instanceof PostcommitError) return error
  onUnknownError(error)
  return new PostcommitError('POSTCOMMIT_RELAY_UNAVAILABLE', { reason: 'it could not write to its database' })
}

function serving({ transactions, isDraining }: ApiContext) {
  const performing = isDraining() ? undefined : transactions()
  if (performing !== undefined) return performing
  const reason = isDraining() ? 'it is being stopped' : 'it is being started'
  throw new PostcommitError('POSTCOMMIT_RELAY_UNAVAILABLE', { reason })
}

function refusal(gid: Gid, { code, message, retryable }: PostcommitError): Refusal {
  return { outcome: 'refused', gid, code, message, retryable }
}
