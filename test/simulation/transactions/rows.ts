import type { BranchOp } from 'postcommit/protocol'
import type { Op } from '../../../relay/engine/transaction/op.ts'
import type { Transaction } from '../../../relay/engine/transaction/transaction.ts'
import type { Scenario, SimulatedStep } from './scenario.ts'
import type { Rows } from './stored-rows.ts'

const backOff = { baseMs: 200, capMs: 2000 }

/** The rows that a request creates. What the initiator calls itself is registered later, branch by branch. */
export function freshRows(scenario: Scenario, digest: string, status: 'prepared' | 'submitted', nowMs: number): Rows {
  const isPlanned = scenario.kind === 'msg' || scenario.kind === 'saga'
  const ops = isPlanned ? scenario.steps.flatMap((step) => freshOps(scenario, step)) : []
  return { transaction: freshTransaction(scenario, digest, status, nowMs), ops, payload: digest }
}

function freshTransaction(scenario: Scenario, digest: string, status: 'prepared' | 'submitted', nowMs: number) {
  const common = { gid: 'history-1', digest, status, dueAtMs: nowMs + 1000, backOff, ongoingMs: 300 }
  const deadlineMs = nowMs + (scenario.deadlineMs ?? 6000)
  // Nobody is asked about what its client runs: it is looked at when its time has come.
  const untilDeadline = { ...common, dueAtMs: deadlineMs }
  const { strictOrder } = scenario
  switch (scenario.kind) {
    case 'msg':
      return { ...common, mode: 'msg' } satisfies Transaction
    case 'saga':
      return {
        ...common,
        mode: 'saga',
        runBy: 'relay',
        oneByOne: strictOrder,
        ...(scenario.deadlineMs !== undefined && { deadlineMs }),
        ...(scenario.retryLimit !== undefined && { retryLimit: scenario.retryLimit }),
      } satisfies Transaction
    case 'live-saga':
      return {
        ...untilDeadline,
        mode: 'saga',
        runBy: 'client',
        oneByOne: strictOrder,
        deadlineMs,
      } satisfies Transaction
    case 'tcc':
      return { ...untilDeadline, mode: 'tcc', deadlineMs } satisfies Transaction
    case 'xa':
      return { ...untilDeadline, mode: 'xa', deadlineMs } satisfies Transaction
  }
}

const OPS: { readonly [K in Scenario['kind']]: readonly BranchOp[] } = {
  msg: ['action'],
  saga: ['action', 'compensate'],
  'live-saga': ['action', 'compensate'],
  tcc: ['confirm', 'cancel'],
  xa: ['commit', 'rollback'],
}

/** The ops of a branch as they are first written. A pivot and what follows it cannot be compensated. */
export function freshOps({ kind }: Scenario, { branch, after, recovery }: SimulatedStep): Op[] {
  const names = OPS[kind].filter((op) => op !== 'compensate' || recovery === 'undo')
  return names.map((op) => ({
    branch,
    op,
    status: 'prepared',
    ...(op === 'action' && { after, recovery }),
    calls: 0,
    attempts: 0,
    dueAtMs: 0,
  }))
}
