import {
  type ActionTarget,
  type BranchDefinition,
  type BranchOp,
  digestDefinition,
  type Gid,
  type TransactionDefinition,
  TransactionMode,
} from 'postcommit/protocol'
import type { Recovery } from '../../engine/transaction/op.ts'
import type { NewTransaction } from '../../store/transaction/insert-transactions.ts'
import type { OperationContent } from '../../store/transaction/transaction-row.ts'
import { writeStoredOptions } from '../stored/stored-options.ts'
import { laneOf, readStoredTarget, storeTarget } from '../stored/stored-target.ts'
import { outboxContentOf } from './outbox-content.ts'

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
  const { mode, name, branches, backQuery } = definition
  const { timeoutMs, requestTimeoutMs, retry, retryLimit, concurrent } = definition.options ?? {}
  const runBy =
    mode === TransactionMode.Msg || (mode === TransactionMode.Saga && branches.length > 0) ? 'relay' : 'client'
  const deadlineInMs =
    mode === TransactionMode.Msg ? undefined : (timeoutMs ?? (runBy === 'client' ? defaults.deadlineMs : undefined))
  const dueInMs = status === 'submitted' ? 0 : (backQuery?.checkAfterMs ?? deadlineInMs ?? defaults.checkAfterMs)
  const content = outboxContentOf(definition)
  const checkTarget = backQuery === undefined ? undefined : storeTarget(backQuery.target)
  // One literal without spreads: every prepare and every saga comes through here.
  return {
    tenant: key.tenant,
    gid: key.gid,
    mode,
    status,
    runBy,
    key: branches.find((branch) => branch.key !== undefined)?.key,
    dialect: 'v1',
    protocol: 'http',
    digest: digestDefinition(definition),
    checkDestination: (checkTarget === undefined ? undefined : laneOf(readStoredTarget(checkTarget))) ?? '',
    checkTarget,
    options: writeStoredOptions({
      name,
      requestTimeoutMs,
      retry,
      retryLimit,
      concurrent,
      hint: backQuery?.hint,
    }),
    customData: undefined,
    seq: 0,
    deadlineInMs,
    dueInMs,
    // A hint is known when the transaction has begun; then no question can close the door on it.
    askFromInMs: backQuery === undefined || backQuery.hint !== undefined ? undefined : dueInMs,
    claim: undefined,
    content: content?.json,
    keys: content?.keys ?? [],
    operations: content === undefined ? branches.flatMap((branch) => operationsOf(branch)) : [],
  }
}

/** The calls of a branch as they are stored. */
export function operationsOf(branch: BranchDefinition): readonly OperationContent[] {
  const { payload, payloadBase64, headers, after, key, delayMs } = branch
  const body = payloadBase64 === undefined ? undefined : Buffer.from(payloadBase64, 'base64')
  return (Object.entries(branch.ops) as [BranchOp, ActionTarget][]).map(([op, target]) => {
    const isAction = op === 'action'
    return {
      branch: branch.branch,
      op,
      target: storeTarget(target),
      payload,
      body,
      options: writeStoredOptions({ headers, key, delayMs: isAction ? delayMs : undefined }),
      after: isAction ? after : undefined,
      startSeq: undefined,
      leaseMs: undefined,
      recovery: isAction ? recoveryOf(branch) : undefined,
    }
  })
}

/** Without a compensation there is no way back over a branch, unless it leaves nothing behind. */
function recoveryOf({ ops, retryOnly, leavesNothing }: BranchDefinition): Recovery | undefined {
  if (retryOnly === true) return 'forward'
  return ops.compensate === undefined && leavesNothing !== true ? 'pivot' : undefined
}
