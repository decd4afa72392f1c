import type { TransactionMode } from 'postcommit/protocol'
import type { Decision, Effect, Subject, TransactionEvent } from './event.ts'
import { type Cell, type Guard, type Profile, type Row, STATE_TABLE } from './state-table.ts'
import type { Transition } from './transition.ts'

/**
 * What an event does to a transaction in a state: a transition to be written, an answer, or an alarm.
 *
 * @see STATE_TABLE for what is decided; this only looks it up.
 */
export function decide(event: TransactionEvent, subject: Subject): Decision {
  const mode = modeOf(event, subject)
  if (mode === undefined)
    return { kind: event.kind === 'deadline' || event.kind === 'verdict' ? 'nothing' : 'not-found' }
  if (subject.status !== 'none' && mode !== subject.mode) return { kind: 'conflict', code: 'other-mode' }
  const cells = STATE_TABLE[rowOf(event)][subject.status]
  const cell = typeof cells === 'object' && 'byProfile' in cells ? cells.byProfile[profileOf(mode, subject)] : cells
  return read(cell, event, subject)
}

function read(cell: Cell, event: TransactionEvent, subject: Subject): Decision {
  switch (cell) {
    case 'duplicate':
    case 'not-found':
    case 'nothing':
      return { kind: cell }
    case 'repeat':
      return isSameContent(event, subject) ? { kind: 'duplicate' } : { kind: 'conflict', code: 'other-content' }
  }
  if ('when' in cell) return read(holds(cell.when, subject) ? cell.do : cell.otherwise, event, subject)
  if ('conflict' in cell) return { kind: 'conflict', code: cell.conflict }
  if ('alarm' in cell) return { kind: 'alarm', alarm: cell.alarm }
  if ('accept' in cell) return { kind: 'ok', effect: cell.accept }
  if ('moveSame' in cell) {
    if (!isSameContent(event, subject)) return { kind: 'conflict', code: 'other-content' }
    return moved(cell.moveSame, cell.effect)
  }
  return moved(typeof cell.move === 'function' ? cell.move(textOf(event)) : cell.move, cell.effect)
}

function moved(transition: Transition, effect: Effect | undefined): Decision {
  return effect === undefined ? { kind: 'ok', transition } : { kind: 'ok', transition, effect }
}

function holds(guard: Guard, subject: Subject): boolean {
  if (subject.status === 'none') return false
  switch (guard) {
    case 'may-turn-back':
      return subject.mayTurnBack
    case 'aborts-at-deadline':
      return subject.onDeadline === 'abort'
    case 'running':
      return subject.paused !== true
    case 'paused':
      return subject.paused === true
  }
}

/** Content that one side does not state (a TCC has none of its own) cannot differ. */
function isSameContent(event: TransactionEvent, subject: Subject): boolean {
  if (subject.status === 'none' || subject.digest === undefined) return true
  if (event.kind !== 'prepare' && event.kind !== 'submit') return true
  return event.digest === undefined || event.digest === subject.digest
}

function modeOf(event: TransactionEvent, subject: Subject): TransactionMode | undefined {
  if (event.kind === 'prepare' || event.kind === 'submit') return event.mode
  return subject.status === 'none' ? undefined : subject.mode
}

function profileOf(mode: TransactionMode, { runBy }: Subject): Profile {
  return mode === 'saga' && runBy === 'client' ? 'live-saga' : mode
}

function rowOf(event: TransactionEvent): Row {
  switch (event.kind) {
    case 'verdict':
      return `verdict ${event.verdict}`
    case 'operator':
      return `operator ${event.act}`
    case 'prepare':
    case 'submit':
    case 'abort':
    case 'register':
    case 'deadline':
    case 'result':
      return event.kind
  }
}

function textOf(event: TransactionEvent): string {
  return event.kind === 'abort' || event.kind === 'operator' ? event.reason : ''
}
