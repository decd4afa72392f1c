import { LIMITS, type OperationAnswer, parseOperation, type TransactionOperation } from 'postcommit/protocol'
import type { z } from 'zod'
import type { Scope } from '../api-key.ts'
import { carryOut } from '../carry-out.ts'
import { InvalidFields, Refused } from '../problem.ts'
import { type ApiContext, type Call, type Reply, type Route, readQuery, reply, SMALL_BODY_BYTES } from '../route.ts'
import { AbortBody, Answer, OutcomeQuery, PrepareBody, RegisterBranchBody, SubmitBody } from './schemas.ts'

const ANSWERS: Route['answers'] = {
  200: { description: 'It has ended.', schema: Answer },
  202: { description: 'It is recorded, and ends without the caller.', schema: Answer },
}

/** One operation a request, for those who write it by hand; `transactions:batch` says the same for many. */
export const singleOperationRoutes: readonly Route[] = [
  singleOperation('prepare', 'prepare', 'Announces a transaction that is not decided yet', {
    body: PrepareBody,
    bodyBytesMax: LIMITS.batchBytes,
  }),
  singleOperation('submit', 'submit', 'Lets a transaction go forward: the prepared one, or the one in the body', {
    body: SubmitBody,
    isBodyOptional: true,
    bodyBytesMax: LIMITS.batchBytes,
  }),
  singleOperation('abort', 'abort', 'Gives a prepared transaction up', {
    body: AbortBody,
    isBodyOptional: true,
    bodyBytesMax: SMALL_BODY_BYTES,
  }),
  singleOperation('registerBranch', 'prepare', 'Adds a branch to a prepared transaction', {
    body: RegisterBranchBody,
    bodyBytesMax: LIMITS.batchBytes,
  }),
  {
    method: 'GET',
    path: '/v1/transactions/{gid}:outcome',
    summary: 'Where a transaction stands; waits for its end if asked to',
    tag: 'transactions',
    scope: 'read',
    query: OutcomeQuery,
    bodyBytesMax: 0,
    answers: ANSWERS,
    handle: async (call, context) => {
      const { waitMs } = readQuery(OutcomeQuery, call)
      return perform({ do: 'query', gid: call.params['gid'], waitMs }, call, context)
    },
  },
]

function singleOperation(
  verb: Exclude<TransactionOperation['do'], 'query'>,
  scope: Scope,
  summary: string,
  body: { readonly body: z.ZodType; readonly isBodyOptional?: boolean; readonly bodyBytesMax: number },
): Route {
  return {
    method: 'POST',
    path: `/v1/transactions/{gid}:${verb}`,
    summary,
    tag: 'transactions',
    scope,
    ...body,
    answers: ANSWERS,
    // The name in the address wins: a body that names another one is refused as having a field too many.
    handle: (call, context) => perform({ ...fieldsOf(call), do: verb, gid: call.params['gid'] }, call, context),
  }
}

async function perform(value: object, { caller }: Call, context: ApiContext): Promise<Reply> {
  const answer: OperationAnswer = await carryOut(parseOperation(value), caller, context)
  if (answer.outcome === 'refused') throw new Refused(answer)
  return reply(answer, answer.outcome === 'pending' ? 202 : 200)
}

function fieldsOf({ text }: Call): object {
  if (text === '') return {}
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new InvalidFields([{ path: '', message: 'it is not JSON' }])
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidFields([{ path: '', message: 'not an object' }])
  }
  for (const name of ['do', 'gid']) {
    if (name in value) throw new InvalidFields([{ path: name, message: 'the address says this' }])
  }
  return value
}
