import { describe, expect, test } from 'vitest'
import type { Op } from './op.ts'
import { plan } from './plan.ts'
import type { LiveSaga, Message, Saga, Tcc, Transaction, Workflow } from './transaction.ts'

const backOff = { baseMs: 1000, capMs: 60_000 }
const common = { gid: 'g', dueAtMs: 0, backOff, ongoingMs: 1000 }
const message: Message = { ...common, mode: 'msg', status: 'submitted' }
const saga: Saga = { ...common, mode: 'saga', runBy: 'relay', status: 'submitted' }
const live: LiveSaga = { ...common, mode: 'saga', runBy: 'client', status: 'prepared', deadlineMs: 10_000 }
const tcc: Tcc = { ...common, mode: 'tcc', status: 'prepared', deadlineMs: 35_000 }
const workflow: Workflow = { ...common, mode: 'workflow', status: 'prepared' }

function op(branch: string, name: Op['op'], more: Partial<Op> = {}): Op {
  return { branch, op: name, status: 'prepared', calls: 0, attempts: 0, dueAtMs: 0, ...more }
}

function called(transaction: Transaction, ops: readonly Op[], nowMs = 100): string[] {
  return plan(transaction, ops, nowMs).run.map((run) =>
    run.kind === 'call' ? `${run.op.branch} ${run.op.op}` : run.kind,
  )
}

describe('forward', () => {
  const ops = [op('a', 'action'), op('b', 'action', { after: ['a'] }), op('c', 'action')]

  test('calls what waits for nothing, and the rest when that is done', () => {
    expect(called(message, ops)).toEqual(['a action', 'c action'])
    const done = [op('a', 'action', { status: 'succeed' }), ...ops.slice(1)]
    expect(called(message, done)).toEqual(['b action', 'c action'])
  })

  test('does not call what is under way or not due, and wakes when the first of it is', () => {
    const waiting = [op('a', 'action', { leaseUntilMs: 900 }), op('b', 'action', { dueAtMs: 700 })]
    expect(plan(message, waiting, 100)).toEqual({ run: [], wakeAtMs: 700 })
    expect(called(message, waiting, 900)).toEqual(['a action', 'b action'])
  })

  test('succeeds when all is done', () => {
    const done = ops.map((one): Op => ({ ...one, status: 'succeed' }))
    expect(plan(message, done, 100).transition).toEqual({ from: 'submitted', to: 'succeed' })
  })

  test('a message behind another of its key calls nothing, and looks again', () => {
    expect(plan({ ...message, behind: 'g0' }, ops, 100)).toEqual({ run: [], wakeAtMs: 60_100 })
  })
})

test('what a client has registered is undone, also where it has not said what it calls itself', () => {
  const aborting = { ...live, status: 'aborting' } as const
  const undo = op('a', 'compensate', { startSeq: 1 })
  expect(called(aborting, [undo])).toEqual(['a compensate'])
  expect(called(aborting, [op('a', 'action', { startSeq: 1 }), undo])).toEqual(['a compensate'])
  expect(plan(aborting, [{ ...undo, status: 'succeed' }], 100).transition).toEqual({ from: 'aborting', to: 'failed' })
})

describe('before the decision', () => {
  test('a message is asked about when its time has come, and never decided by it', () => {
    expect(plan({ ...message, status: 'prepared', dueAtMs: 500 }, [], 100)).toEqual({ run: [], wakeAtMs: 500 })
    expect(called({ ...message, status: 'prepared' }, [op('a', 'action')], 1e12)).toEqual(['ask'])
  })

  test('what its initiator runs is given up at the deadline', () => {
    expect(plan(tcc, [], 100)).toEqual({ run: [], wakeAtMs: 35_000 })
    expect(plan(tcc, [], 35_000).transition).toMatchObject({ to: 'aborting', reason: { kind: 'deadline' } })
    expect(plan(live, [], 10_000).transition).toMatchObject({ to: 'aborting' })
  })

  test('a workflow is resumed, and given up only if it wants to be', () => {
    expect(called(workflow, [])).toEqual(['resume'])
    expect(called({ ...workflow, deadlineMs: 50 }, [])).toEqual(['resume'])
    const plans = plan({ ...workflow, deadlineMs: 50, onDeadline: 'abort' }, [], 100)
    expect(plans.transition).toMatchObject({ to: 'aborting' })
  })
})

describe('giving up a saga', () => {
  test('when a branch failed', () => {
    const { transition } = plan(saga, [op('a', 'action', { status: 'failed' })], 100)
    expect(transition).toEqual({ from: 'submitted', to: 'aborting', reason: { kind: 'branch-failed', branch: 'a' } })
  })

  test('when an action was repeated often enough', () => {
    const tried = (attempts: number) => [op('a', 'action', { startSeq: 1, attempts })]
    expect(plan({ ...saga, retryLimit: 2 }, tried(2), 100).transition).toBeUndefined()
    const reason = { kind: 'retry-limit', branch: 'a', limit: 2 }
    expect(plan({ ...saga, retryLimit: 2 }, tried(3), 100).transition).toMatchObject({ to: 'aborting', reason })
  })

  test('when all actions together were repeated often enough, if they share the limit', () => {
    const tried = (first: number, second: number) => [
      op('a', 'action', { startSeq: 1, status: 'succeed', endSeq: 2, attempts: first }),
      op('b', 'action', { startSeq: 3, attempts: second }),
    ]
    const shared: Saga = { ...saga, retryLimit: 2, sharesRetryLimit: true }
    expect(plan(shared, tried(1, 1), 100).transition).toBeUndefined()
    const reason = { kind: 'retry-limit', branch: 'b', limit: 2 }
    expect(plan(shared, tried(2, 1), 100).transition).toMatchObject({ to: 'aborting', reason })
    expect(plan({ ...saga, retryLimit: 2 }, tried(2, 1), 100).transition).toBeUndefined()
    // What has not failed yet is not given up for what others needed.
    expect(plan(shared, tried(3, 0), 100).transition).toBeUndefined()
  })

  test('at its deadline, unless the pivot may have succeeded', () => {
    const at = (pivot: Partial<Op>) =>
      plan({ ...saga, deadlineMs: 50 }, [op('a', 'action', { recovery: 'pivot', ...pivot })], 100)
    expect(at({}).transition).toMatchObject({ to: 'aborting', reason: { kind: 'deadline' } })
    expect(at({ startSeq: 1 })).toMatchObject({ run: [{ kind: 'call' }] })
    expect(at({ startSeq: 1 }).transition).toBeUndefined()
  })

  test('never after the pivot, however often what follows is repeated', () => {
    const ops = [
      op('a', 'action', { recovery: 'pivot', status: 'succeed', startSeq: 1, endSeq: 2 }),
      op('b', 'action', { recovery: 'forward', after: ['a'], startSeq: 3, attempts: 99 }),
    ]
    expect(called({ ...saga, retryLimit: 2, deadlineMs: 50 }, ops)).toEqual(['b action'])
  })
})

describe('undoing', () => {
  const aborting: Saga = { ...saga, status: 'aborting' }
  const ran = (branch: string, startSeq: number, endSeq?: number): Op[] => [
    op(branch, 'action', endSeq === undefined ? { startSeq, calls: 1 } : { startSeq, endSeq, status: 'succeed' }),
    op(branch, 'compensate'),
  ]

  test('what happened after is undone before; what ran side by side is undone side by side', () => {
    const ops = [...ran('a', 1, 6), ...ran('b', 2, 3), ...ran('c', 4, 5)]
    expect(called(aborting, ops)).toEqual(['a compensate', 'c compensate'])
    expect(called({ ...aborting, oneByOne: true }, ops)).toEqual(['c compensate'])
  })

  test('A beside B → C, with D inside B: C and D before B, and A whenever it likes (D7)', () => {
    const ops = [...ran('a', 1, 9), ...ran('b', 2, 5), ...ran('b.d', 3, 4), ...ran('c', 6, 7)]
    const undone = (...names: string[]) =>
      ops.map(
        (one): Op => (one.op === 'compensate' && names.includes(one.branch) ? { ...one, status: 'succeed' } : one),
      )
    expect(called(aborting, ops)).toEqual(['a compensate', 'c compensate'])
    // D ended before C began, so it waits for C; it does not wait for A, and nothing but B waits for it.
    expect(called(aborting, undone('c'))).toEqual(['a compensate', 'b.d compensate'])
    expect(called(aborting, undone('a', 'c', 'b.d'))).toEqual(['b compensate'])
  })

  test('a child before its parent, whenever it ended', () => {
    expect(called(aborting, [...ran('01', 1), ...ran('0101', 2, 3)])).toEqual(['0101 compensate'])
    expect(called(aborting, [...ran('order', 1), ...ran('orders', 2, 3)])).toEqual([
      'order compensate',
      'orders compensate',
    ])
  })

  test('what was never started is left alone; an unknown outcome counts as done', () => {
    const ops = [...ran('a', 1, 2), op('b', 'action', { startSeq: 3 }), op('b', 'compensate'), op('c', 'action')]
    expect(called(aborting, [...ops, op('c', 'compensate')])).toEqual(['b compensate'])
  })

  test('an action under way is waited for until it is given up for lost', () => {
    const ops = [op('a', 'action', { startSeq: 1, leaseUntilMs: 3000 }), op('a', 'compensate')]
    expect(plan(aborting, ops, 100)).toEqual({ run: [], wakeAtMs: 3000 })
    expect(called(aborting, ops, 3000)).toEqual(['a compensate'])
  })

  test('a failed branch is compensated in a saga; in a workflow if an earlier call may still arrive', () => {
    const failed = (calls: number) => [
      op('a', 'action', { startSeq: 1, endSeq: 2, status: 'failed', calls }),
      op('a', 'compensate'),
    ]
    const giving: Workflow = { ...workflow, status: 'aborting' }
    expect(called(aborting, failed(1))).toEqual(['a compensate'])
    expect(plan(giving, failed(1), 100).transition).toEqual({ from: 'aborting', to: 'failed' })
    expect(called(giving, failed(2))).toEqual(['a compensate'])
    expect(called({ ...giving, compensateFailed: true }, failed(1))).toEqual(['a compensate'])
  })

  test('ends when nothing is left', () => {
    expect(plan(aborting, [op('a', 'action'), op('a', 'compensate')], 100).transition).toEqual({
      from: 'aborting',
      to: 'failed',
    })
  })
})

describe('TCC', () => {
  const registered = ['01', '02', '0201'].flatMap((branch, index) => [
    op(branch, 'confirm', { startSeq: index + 1 }),
    op(branch, 'cancel', { startSeq: index + 1 }),
  ])

  test('the latest registration first, or children before parents', () => {
    expect(called({ ...tcc, status: 'submitted' }, registered)).toEqual(['0201 confirm'])
    expect(called({ ...tcc, status: 'aborting' }, registered)).toEqual(['0201 cancel'])
    expect(called({ ...tcc, status: 'aborting', parallel: true }, registered)).toEqual(['01 cancel', '0201 cancel'])
  })
})

test('nothing happens to what has ended or is paused', () => {
  expect(plan({ ...saga, paused: true }, [op('a', 'action')], 100)).toEqual({ run: [], wakeAtMs: undefined })
  expect(plan({ ...saga, status: 'failed' }, [op('a', 'action')], 100)).toEqual({ run: [], wakeAtMs: undefined })
})
