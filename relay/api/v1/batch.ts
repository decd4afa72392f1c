import { BATCH_PATH, LIMITS, type OperationAnswer, parseBatch, type TransactionOperation } from 'postcommit/protocol'
import { carryOut } from '../carry-out.ts'
import type { ApiContext, Call, Reply, Route } from '../route.ts'
import { Batch, BatchAnswers } from './schemas.ts'

/**
 * Many operations in one request: what clients that are busy send. Their order holds for those of one gid; the others
 * are carried out together, and go into the same statements.
 *
 * The body is read once, by the parsers of the protocol; the schema is for the document.
 */
export const batchRoute: Route = {
  method: 'POST',
  path: BATCH_PATH,
  summary: 'Carries out operations, and answers each in its place',
  tag: 'transactions',
  scope: 'operation',
  body: Batch,
  bodyBytesMax: LIMITS.batchBytes,
  answers: { 200: { description: 'An answer for each operation, refusals among them.', schema: BatchAnswers } },
  async handle(call: Call, context: ApiContext): Promise<Reply> {
    const operations = parseBatch(call.text)
    context.charge(call.caller.tenant, operations.length - 1)
    const results = await carryOutAll(operations, call, context)
    return { status: 200, json: JSON.stringify({ results }) }
  },
}

function carryOutAll(
  operations: readonly TransactionOperation[],
  { caller }: Call,
  context: ApiContext,
): Promise<OperationAnswer[]> {
  const lastOf = new Map<string, Promise<OperationAnswer>>()
  return Promise.all(
    operations.map((operation) => {
      const before = lastOf.get(operation.gid)
      const answer =
        before === undefined
          ? carryOut(operation, caller, context)
          : before.then(() => carryOut(operation, caller, context))
      lastOf.set(operation.gid, answer)
      return answer
    }),
  )
}
