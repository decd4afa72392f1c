import type { NewTransaction } from '../../store/transaction/insert-transactions.ts'
import type { ClaimedTransaction } from '../../store/transaction/transaction-row.ts'

/** What is about to be inserted, as it would be read again after it. Its id is not known yet. */
export function claimedFrom(content: NewTransaction, nowMs: number): ClaimedTransaction {
  const { tenant, gid, mode, status, runBy, digest, dialect, protocol, checkDestination, seq, deadlineInMs } = content
  return {
    id: '',
    tenant,
    gid,
    mode,
    status,
    runBy,
    digest,
    dialect,
    protocol,
    checkDestination,
    checkTarget: content.checkTarget ?? null,
    options: content.options ?? null,
    customData: content.customData ?? null,
    extData: null,
    rollbackReason: null,
    seq,
    opCount: content.operations.length,
    asked: 0,
    claimed: true,
    backoffMs: null,
    key: content.key ?? null,
    behind: null,
    createdAtMs: nowMs,
    deadlineMs: deadlineInMs === undefined ? null : nowMs + deadlineInMs,
    nowMs,
    isForOutbox: content.content !== undefined,
    operations: content.operations.map((operation, place) => ({
      branch: operation.branch,
      op: operation.op,
      place,
      status: 'prepared',
      target: operation.target,
      payload: operation.payload ?? null,
      body: operation.body ?? null,
      options: operation.options ?? null,
      after: operation.after ?? null,
      startSeq: null,
      endSeq: null,
      recovery: operation.recovery ?? null,
      calls: 0,
      attempts: 0,
      leaseUntilMs: null,
      dueAtMs: null,
    })),
  }
}
