import type { TransactionMode } from 'postcommit/protocol'
import { describe, expect, test } from 'vitest'
import { decide } from './decide.ts'
import type { Decision, Subject, TransactionEvent } from './event.ts'
import { type Cell, type Column, type Profile, STATE_TABLE } from './state-table.ts'

const COLUMNS = ['none', 'prepared', 'submitted', 'aborting', 'succeed', 'failed'] as const
const PROFILES = ['msg', 'saga', 'live-saga', 'tcc', 'xa', 'workflow'] as const

function subject(
  profile: Profile,
  status: Column,
  more: Partial<Extract<Subject, { mode: TransactionMode }>> = {},
): Subject {
  const mode = profile === 'live-saga' ? 'saga' : profile
  const runBy = profile === 'live-saga' ? 'client' : 'relay'
  return status === 'none' ? { status, runBy } : { status, mode, runBy, digest: 'd1', mayTurnBack: true, ...more }
}

/** An answer in a word, so that a row of the table reads as a row. */
function word(decision: Decision): string {
  switch (decision.kind) {
    case 'ok':
      return decision.transition === undefined ? `${decision.effect}` : `>${decision.transition.to}`
    case 'conflict':
      return `409 ${decision.code}`
    case 'alarm':
      return `! ${decision.alarm}`
    default:
      return decision.kind
  }
}

function row(profile: Profile, event: (mode: TransactionMode) => TransactionEvent, more = {}): string[] {
  const mode = profile === 'live-saga' ? 'saga' : profile
  return COLUMNS.map((status) => word(decide(event(mode), subject(profile, status, more))))
}

describe('the state table, row by row: none, prepared, submitted, aborting, succeed, failed', () => {
  test('prepare and submit with the same content', () => {
    const prepare = (mode: TransactionMode): TransactionEvent => ({ kind: 'prepare', mode, digest: 'd1' })
    const submit = (mode: TransactionMode): TransactionEvent => ({ kind: 'submit', mode, digest: 'd1' })
    for (const profile of PROFILES) {
      expect(row(profile, prepare)).toEqual([
        '>prepared',
        'duplicate',
        '409 decided',
        '409 failed',
        '409 decided',
        '409 failed',
      ])
      expect(row(profile, submit)).toEqual([
        profile === 'msg' || profile === 'saga' ? '>submitted' : 'not-found',
        '>submitted',
        'duplicate',
        '409 failed',
        'duplicate',
        '409 failed',
      ])
    }
  })

  test('the same gid with other content, or of another mode, is never taken for a repetition', () => {
    for (const kind of ['prepare', 'submit'] as const) {
      const found = row('msg', (mode) => ({ kind, mode, digest: 'd2' }))
      expect(found.filter((answer) => answer === 'duplicate')).toEqual([])
      expect(found[1]).toBe('409 other-content')
    }
    expect(decide({ kind: 'submit', mode: 'saga' }, subject('msg', 'submitted'))).toEqual({
      kind: 'conflict',
      code: 'other-mode',
    })
  })

  test('content that one side does not state does not differ', () => {
    expect(decide({ kind: 'submit', mode: 'tcc' }, subject('tcc', 'prepared'))).toMatchObject({ kind: 'ok' })
  })

  test('abort', () => {
    for (const profile of PROFILES) {
      expect(row(profile, () => ({ kind: 'abort', reason: 'no stock' }))).toEqual([
        'not-found',
        profile === 'msg' ? '>failed' : '>aborting',
        '409 decided',
        'duplicate',
        '409 decided',
        'duplicate',
      ])
    }
    expect(decide({ kind: 'abort', reason: 'no stock' }, subject('tcc', 'prepared'))).toEqual({
      kind: 'ok',
      transition: { from: 'prepared', to: 'aborting', reason: { kind: 'asked', text: 'no stock' } },
    })
  })

  test('register', () => {
    const late = Array.from({ length: 4 }, () => '409 not-prepared')
    for (const profile of PROFILES) {
      const planned = profile === 'msg' || profile === 'saga'
      const first = planned ? '409 other-mode' : 'add-branch'
      expect(row(profile, () => ({ kind: 'register' }))).toEqual(['not-found', first, ...late])
    }
  })

  test('verdicts: only of messages, only while undecided, and an alarm where they contradict', () => {
    const committed = ['nothing', '>submitted', 'nothing', 'nothing', 'nothing', '! committed-after-failed']
    const contradicted = '! rolled-back-after-submitted'
    expect(row('msg', () => ({ kind: 'verdict', verdict: 'committed' }))).toEqual(committed)
    expect(row('msg', () => ({ kind: 'verdict', verdict: 'aborted' }))).toEqual([
      'nothing',
      '>failed',
      contradicted,
      'nothing',
      contradicted,
      'nothing',
    ])
    for (const verdict of ['in_progress', 'unknown'] as const) {
      const kept = ['nothing', 'ask-later', 'nothing', 'nothing', 'nothing', 'nothing']
      expect(row('msg', () => ({ kind: 'verdict', verdict }))).toEqual(kept)
    }
    for (const profile of PROFILES.filter((name) => name !== 'msg')) {
      expect(new Set(row(profile, () => ({ kind: 'verdict', verdict: 'committed' })))).toEqual(new Set(['nothing']))
    }
  })

  test('a deadline gives up what its initiator has not decided, and a saga that can still turn back', () => {
    const at = (profile: Profile, more = {}) => row(profile, () => ({ kind: 'deadline' }), more).slice(1, 3)
    expect(at('msg')).toEqual(['nothing', 'nothing'])
    for (const profile of ['live-saga', 'tcc', 'xa'] as const) expect(at(profile)).toEqual(['>aborting', 'nothing'])
    expect(at('saga')).toEqual(['>aborting', '>aborting'])
    expect(at('saga', { mayTurnBack: false })).toEqual(['>aborting', 'nothing'])
    expect(at('workflow')).toEqual(['nothing', 'nothing'])
    expect(at('workflow', { onDeadline: 'abort' })).toEqual(['>aborting', 'nothing'])
  })

  test('results are written even if they come too late', () => {
    expect(row('saga', () => ({ kind: 'result' }))).toEqual([
      'not-found',
      'record-and-plan',
      'record-and-plan',
      'record-and-plan',
      'record-only',
      'record-only',
    ])
  })

  test('what an operator does', () => {
    const act = (profile: Profile, name: Extract<TransactionEvent, { kind: 'operator' }>['act'], more = {}) =>
      row(profile, () => ({ kind: 'operator', act: name, reason: 'r' }), more).slice(1)
    const decided = ['409 decided', '409 decided']
    expect(act('msg', 'retry-now')).toEqual(['make-due', 'make-due', 'make-due', ...decided])
    expect(act('msg', 'pause')).toEqual(['pause', 'pause', 'pause', ...decided])
    expect(act('msg', 'pause', { paused: true })).toEqual(['duplicate', 'duplicate', 'duplicate', ...decided])
    expect(act('msg', 'resume')).toEqual(['duplicate', 'duplicate', 'duplicate', ...decided])
    expect(act('msg', 'resume', { paused: true })).toEqual(['resume', 'resume', 'resume', ...decided])
    const stuck = '409 cannot-turn-back'
    expect(act('msg', 'abort')).toEqual(['>failed', stuck, 'duplicate', '409 decided', 'duplicate'])
    expect(act('saga', 'abort')).toEqual(['>aborting', '>aborting', 'duplicate', '409 decided', 'duplicate'])
    expect(act('saga', 'abort', { mayTurnBack: false })[1]).toBe(stuck)
    expect(act('tcc', 'abort')[1]).toBe(stuck)
    expect(act('tcc', 'force-fail')).toEqual(['>failed', '>failed', '>failed', '409 decided', 'duplicate'])
    expect(act('tcc', 'force-succeed')).toEqual(['>succeed', '>succeed', '>succeed', 'duplicate', '409 decided'])
  })
})

test('every move starts where its column is', () => {
  const moves = Object.values(STATE_TABLE).flatMap((cells) =>
    COLUMNS.flatMap((column) => cellsOf(cells[column]).map((cell) => [column, fromOf(cell)] as const)),
  )
  expect(moves.filter(([column, from]) => from !== undefined && from !== column)).toEqual([])
  expect(moves.filter(([, from]) => from !== undefined).length).toBeGreaterThan(20)
})

function cellsOf(cells: Cell | { readonly byProfile: { readonly [P in Profile]: Cell } }): Cell[] {
  const first = typeof cells === 'object' && 'byProfile' in cells ? Object.values(cells.byProfile) : [cells]
  return first.flatMap((cell) => (typeof cell === 'object' && 'when' in cell ? [cell.do, cell.otherwise] : [cell]))
}

function fromOf(cell: Cell): string | undefined {
  if (typeof cell !== 'object') return undefined
  if ('moveSame' in cell) return cell.moveSame.from
  if (!('move' in cell)) return undefined
  return typeof cell.move === 'function' ? cell.move('').from : cell.move.from
}
