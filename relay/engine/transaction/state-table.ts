import type { TransactionMode, TransactionStatus } from 'postcommit/protocol'
import type { Alarm, BackQueryAnswer, ConflictCode, Effect, OperatorAct } from './event.ts'
import type { Reason, Transition } from './transition.ts'

/** A mode, and for a saga who calls its actions: what the table distinguishes. */
export type Profile = Exclude<TransactionMode, 'saga'> | 'saga' | 'live-saga'

/** Rows of the table: events, with verdicts and operator acts spelled out. */
export type Row =
  | 'prepare'
  | 'submit'
  | 'abort'
  | 'register'
  | `verdict ${BackQueryAnswer}`
  | 'deadline'
  | 'result'
  | `operator ${OperatorAct}`

/** Columns of the table. */
export type Column = 'none' | TransactionStatus

/** A condition on a cell; if it does not hold, `otherwise` applies. */
export type Guard = 'may-turn-back' | 'aborts-at-deadline' | 'running' | 'paused'

/** What happens, in a word or with the particulars. */
export type Cell =
  | { readonly move: Transition | ((text: string) => Transition); readonly effect?: Effect }
  /** As `move`, for the same content only. */
  | { readonly moveSame: Transition; readonly effect?: Effect }
  | { readonly accept: Effect }
  | { readonly conflict: ConflictCode }
  | { readonly alarm: Alarm }
  | { readonly when: Guard; readonly do: Cell; readonly otherwise: Cell }
  /** A duplicate if the content is the same, else a conflict. */
  | 'repeat'
  | 'duplicate'
  | 'not-found'
  | 'nothing'

type ByProfile = { readonly [P in Profile]: Cell }
type Cells = { readonly [C in Column]: Cell | { readonly byProfile: ByProfile } }

const DECIDED: Cell = { conflict: 'decided' }
const FAILED: Cell = { conflict: 'failed' }
const TOO_LATE: Cell = { conflict: 'not-prepared' }
const STUCK: Cell = { conflict: 'cannot-turn-back' }

const NOWHERE = { none: 'not-found' } as const
const NEVER_ASKED: ByProfile = all('nothing')

/** One cell for every profile, with exceptions. */
function all(cell: Cell, except: Partial<ByProfile> = {}): ByProfile {
  return { msg: cell, saga: cell, 'live-saga': cell, tcc: cell, xa: cell, workflow: cell, ...except }
}

function giveUp(reason: Reason): { readonly move: Transition } {
  return { move: { from: 'prepared', to: 'aborting', reason } }
}

const askedToGiveUp: Cell = {
  move: (text) => ({ from: 'prepared', to: 'aborting', reason: { kind: 'asked', text } }),
}
const askedToDrop: Cell = { move: (text) => ({ from: 'prepared', to: 'failed', reason: { kind: 'asked', text } }) }
const askedToTurnBack: Cell = {
  when: 'may-turn-back',
  do: { move: (text) => ({ from: 'submitted', to: 'aborting', reason: { kind: 'asked', text } }) },
  otherwise: STUCK,
}

function forced(to: 'succeed' | 'failed') {
  const from = (status: 'prepared' | 'submitted' | 'aborting'): Cell => ({
    move: (text) => ({ from: status, to, forced: true, reason: { kind: 'forced', text } }),
  })
  return { prepared: from('prepared'), submitted: from('submitted'), aborting: from('aborting') }
}

/** A cell for every status that is not final, and one for those that are. */
function whileOpen(cell: Cell, final: Cell) {
  return { ...NOWHERE, prepared: cell, submitted: cell, aborting: cell, succeed: final, failed: final }
}

function verdict(prepared: Cell, rest: Partial<{ [S in TransactionStatus]: Cell }> = {}): Cells {
  const msg = (cell: Cell = 'nothing') => ({ byProfile: { ...NEVER_ASKED, msg: cell } })
  return {
    none: 'nothing',
    prepared: msg(prepared),
    submitted: msg(rest.submitted),
    aborting: 'nothing',
    succeed: msg(rest.succeed),
    failed: msg(rest.failed),
  }
}

const ROLLED_BACK: Reason = { kind: 'rolled-back' }
const DEADLINE: Reason = { kind: 'deadline' }
const CONTRADICTED: Cell = { alarm: 'rolled-back-after-submitted' }

/**
 * The state machine of global transactions: every event in every state. Statuses are those of DTM; what DTM leaves to
 * chance is decided here: the content of a repeated request is compared, a repeated submit is answered as the first,
 * and verdicts that contradict a decision are an alarm instead of an overwritten status.
 *
 * A message is never decided by time: past its check time it is asked about. Every move is a compare-and-set on its
 * `from`; who loses it reads the status again and looks here again.
 */
export const STATE_TABLE: { readonly [R in Row]: Cells } = {
  prepare: {
    none: { move: { from: 'none', to: 'prepared' } },
    prepared: 'repeat',
    submitted: DECIDED,
    aborting: FAILED,
    succeed: DECIDED,
    failed: FAILED,
  },
  submit: {
    none: {
      // What its initiator calls has to be registered before, and for that the transaction has to be there.
      byProfile: all('not-found', {
        msg: { move: { from: 'none', to: 'submitted' } },
        saga: { move: { from: 'none', to: 'submitted' } },
      }),
    },
    prepared: {
      byProfile: all(
        { moveSame: { from: 'prepared', to: 'submitted' } },
        { 'live-saga': { moveSame: { from: 'prepared', to: 'submitted' }, effect: 'mark-actions-done' } },
      ),
    },
    submitted: 'repeat',
    aborting: FAILED,
    succeed: 'repeat',
    failed: FAILED,
  },
  abort: {
    ...NOWHERE,
    prepared: { byProfile: all(askedToGiveUp, { msg: askedToDrop }) },
    submitted: DECIDED,
    aborting: 'duplicate',
    succeed: DECIDED,
    failed: 'duplicate',
  },
  register: {
    ...NOWHERE,
    prepared: {
      byProfile: all({ accept: 'add-branch' }, { msg: { conflict: 'other-mode' }, saga: { conflict: 'other-mode' } }),
    },
    submitted: TOO_LATE,
    aborting: TOO_LATE,
    succeed: TOO_LATE,
    failed: TOO_LATE,
  },
  'verdict committed': verdict(
    { move: { from: 'prepared', to: 'submitted' } },
    { failed: { alarm: 'committed-after-failed' } },
  ),
  'verdict aborted': verdict(
    { move: { from: 'prepared', to: 'failed', reason: ROLLED_BACK } },
    { submitted: CONTRADICTED, succeed: CONTRADICTED },
  ),
  'verdict in_progress': verdict({ accept: 'ask-later' }),
  'verdict unknown': verdict({ accept: 'ask-later' }),
  deadline: {
    none: 'nothing',
    prepared: {
      byProfile: all(giveUp(DEADLINE), {
        msg: 'nothing',
        workflow: { when: 'aborts-at-deadline', do: giveUp(DEADLINE), otherwise: 'nothing' },
      }),
    },
    submitted: {
      byProfile: all('nothing', {
        saga: {
          when: 'may-turn-back',
          do: { move: { from: 'submitted', to: 'aborting', reason: DEADLINE } },
          otherwise: 'nothing',
        },
      }),
    },
    aborting: 'nothing',
    succeed: 'nothing',
    failed: 'nothing',
  },
  // A result is written even when it comes too late: it is part of the story that an operator reads.
  result: whileOpen({ accept: 'record-and-plan' }, { accept: 'record-only' }),
  'operator retry-now': whileOpen({ accept: 'make-due' }, DECIDED),
  'operator pause': whileOpen({ when: 'running', do: { accept: 'pause' }, otherwise: 'duplicate' }, DECIDED),
  'operator resume': whileOpen({ when: 'paused', do: { accept: 'resume' }, otherwise: 'duplicate' }, DECIDED),
  'operator abort': {
    ...NOWHERE,
    prepared: { byProfile: all(askedToGiveUp, { msg: askedToDrop }) },
    submitted: { byProfile: all(STUCK, { saga: askedToTurnBack }) },
    aborting: 'duplicate',
    succeed: DECIDED,
    failed: 'duplicate',
  },
  'operator force-fail': { ...NOWHERE, ...forced('failed'), succeed: DECIDED, failed: 'duplicate' },
  'operator force-succeed': { ...NOWHERE, ...forced('succeed'), succeed: 'duplicate', failed: DECIDED },
}
