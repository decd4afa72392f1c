/** What the processes of a cache have agreed on, and who they are; one text in the store. */
export interface Switchboard {
  /** Counts the changes of the switches. */
  readonly version: number
  /** Whether reads may be answered from the cache. */
  readonly read: boolean
  /** Whether invalidations are applied. */
  readonly invalidate: boolean
  /** Whether they were not, at some time since reads were last switched on. */
  readonly hasMissed: boolean
  /** What was claimed before this time of the store's clock is not to be believed, milliseconds. */
  readonly since: number
  readonly processes: Readonly<Record<string, Attendee>>
}

/** A process that uses the cache. */
interface Attendee {
  /** The version it goes by. */
  readonly version: number
  /** Until when it may go by it, by the store's clock, milliseconds. */
  readonly until: number
}

/** A change of one switch. */
export type SwitchChange =
  | { readonly read: boolean; readonly invalidate?: never }
  | { readonly invalidate: boolean; readonly read?: never }

const BLANK: Switchboard = {
  version: 0,
  read: true,
  invalidate: true,
  hasMissed: false,
  since: 0,
  processes: {},
}

/** The board that a text holds; a blank one if there is none yet. */
export function readSwitchboard(text: string | undefined): Switchboard {
  // Only this module writes it, below a key that is ours.
  return text === undefined ? BLANK : { ...BLANK, ...(JSON.parse(text) as Partial<Switchboard>) }
}

/**
 * The board of the store, and what a process knows of it: a store that has lost it, or has an older one, undoes no switch
 * and no doubt. Otherwise some would read while others do not invalidate yet, in no order. A store whose clock is behind
 * that of the one before it is doubted up to its now.
 */
export function recall(board: Switchboard, known: Switchboard, nowMs: number): Switchboard {
  const { version, read, invalidate, hasMissed, since } = known
  const newest = version > board.version ? { ...board, version, read, invalidate, hasMissed } : board
  return distrust(newest, Math.min(since, nowMs))
}

/** The board with the process on it, which goes by what the board says; those whose time is over are taken off. */
export function attend(board: Switchboard, process: string, nowMs: number, leaseMs: number): Switchboard {
  const present = Object.entries(board.processes).filter(([, { until }]) => until > nowMs)
  const me: Attendee = { version: board.version, until: nowMs + leaseMs }
  return { ...board, processes: { ...Object.fromEntries(present), [process]: me } }
}

/** The board without a process. */
export function leave(board: Switchboard, process: string): Switchboard {
  return { ...board, processes: Object.fromEntries(Object.entries(board.processes).filter(([id]) => id !== process)) }
}

/** The board after which nothing is believed that was claimed before a time. */
export function distrust(board: Switchboard, beforeMs: number): Switchboard {
  return { ...board, since: Math.max(board.since, beforeMs) }
}

/** The processes that may still go by an earlier version. */
export function laggards({ version, processes }: Switchboard, nowMs: number): readonly string[] {
  return Object.entries(processes)
    .filter(([, attendee]) => attendee.version < version && attendee.until > nowMs)
    .map(([id]) => id)
}

/**
 * Why a switch may not be set now, or undefined if it may.
 *
 * Somebody who still reads while invalidations are off would be shown what is out of date, so whichever is done
 * second waits until everybody goes by the first.
 */
export function switchProblem(board: Switchboard, change: SwitchChange, nowMs: number): string | undefined {
  const isSecond = change.invalidate === false || change.read === true
  if (!isSecond) return undefined
  if (change.invalidate === false && board.read) return 'reads are still on'
  if (change.read === true && !board.invalidate) return 'invalidations are still off'
  const behind = laggards(board, nowMs)
  return behind.length === 0 ? undefined : `not yet acknowledged by ${behind.join(', ')}`
}

/** The board with a switch set. What is in the store when reads come back after a gap is not believed. */
export function setSwitch(board: Switchboard, change: SwitchChange, nowMs: number): Switchboard {
  const next = { ...board, ...change, version: board.version + 1 }
  if (change.invalidate === false) return { ...next, hasMissed: true }
  if (change.read === true && board.hasMissed) return distrust({ ...next, hasMissed: !next.invalidate }, nowMs)
  return next
}
