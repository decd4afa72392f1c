import {
  type BackQueryDefinition,
  type BranchDefinition,
  type BranchOp,
  digestDefinition,
  type Gid,
  type TransactionDefinition,
  TransactionMode,
} from 'postcommit/protocol'
import type { Recovery } from '../engine/transaction/op.ts'
import type { NewTransaction } from '../store/transaction/insert-transactions.ts'
import type { OperationContent } from '../store/transaction/transaction-row.ts'
import { writeStoredOptions } from './stored-options.ts'
import { laneOf, readStoredTarget, storeTarget } from './stored-target.ts'

/** When what was not said is due. */
export interface HandInDefaults {
  /** How long after its prepare a message is asked about. */
  readonly checkAfterMs: number
  /** How long an initiator may take before what it began is given up. */
  readonly deadlineMs: number
}

/** A definition as it is stored. */
export function handIn(
  key: { readonly tenant: string; readonly gid: Gid },
  definition: TransactionDefinition,
  status: 'prepared' | 'submitted',
  defaults: HandInDefaults,
): NewTransaction {
  const { mode, name, branches, backQuery, options = {} } = definition
  const { timeoutMs, ...kept } = options
  const runBy =
    mode === TransactionMode.Msg || (mode === TransactionMode.Saga && branches.length > 0) ? 'relay' : 'client'
  const deadlineInMs =
    mode === TransactionMode.Msg ? undefined : (timeoutMs ?? (runBy === 'client' ? defaults.deadlineMs : undefined))
  const dueInMs = status === 'submitted' ? 0 : (backQuery?.checkAfterMs ?? deadlineInMs ?? defaults.checkAfterMs)
  return {
    ...key,
    mode,
    status,
    runBy,
    key: branches.find((branch) => branch.key !== undefined)?.key,
    dialect: 'v1',
    protocol: 'http',
    digest: digestDefinition(definition),
    ...checkOf(backQuery),
    options: writeStoredOptions({ name, ...kept, hint: backQuery?.hint }),
    seq: 0,
    deadlineInMs,
    dueInMs,
    // A hint is known when the transaction has begun; then no question can close the door on it.
    askFromInMs: backQuery === undefined || backQuery.hint !== undefined ? undefined : dueInMs,
    operations: branches.flatMap((branch) => operationsOf(branch)),
  }
}

/** The calls of a branch as they are stored. */
export function operationsOf(branch: BranchDefinition): readonly OperationContent[] {
  const { payload, payloadBase64, headers, after, key, delayMs } = branch
  const content = {
    branch: branch.branch,
    payload,
    body: payloadBase64 === undefined ? undefined : Buffer.from(payloadBase64, 'base64'),
  }
  return (Object.entries(branch.ops) as [BranchOp, Parameters<typeof storeTarget>[0]][]).map(([op, target]) => ({
    ...content,
    op,
    target: storeTarget(target),
    options: writeStoredOptions({ headers, key, ...(op === 'action' && { delayMs }) }),
    ...(op === 'action' && { after, recovery: recoveryOf(branch) }),
  }))
}

/** Without a compensation there is no way back over a branch, unless it leaves nothing behind. */
function recoveryOf({ ops, retryOnly, leavesNothing }: BranchDefinition): Recovery | undefined {
  if (retryOnly === true) return 'forward'
  return ops.compensate === undefined && leavesNothing !== true ? 'pivot' : undefined
}

function checkOf(backQuery: BackQueryDefinition | undefined): Pick<NewTransaction, 'checkDestination' | 'checkTarget'> {
  if (backQuery === undefined) return { checkDestination: '' }
  const checkTarget = storeTarget(backQuery.target)
  return { checkDestination: laneOf(readStoredTarget(checkTarget)) ?? '', checkTarget }
}
