import { callableAtMs, type Op } from './op.ts'

/** Ops to call now, and when the next of the others is to be looked at. */
export interface Calls {
  readonly ready: readonly Op[]
  /** Infinity: nothing is waiting for time to pass. */
  readonly nextAtMs: number
}

/**
 * The planner of the way forward: calls whatever is due and waits for nothing that has not succeeded. Sequential,
 * concurrent and arbitrary dependencies differ in `after` alone (see `opsOf`).
 */
export function forward(actions: readonly Op[], nowMs: number): Calls {
  const done = new Set(actions.filter(({ status }) => status === 'succeed').map(({ branch }) => branch))
  const free = actions.filter(
    ({ status, after = [] }) => status === 'prepared' && after.every((name) => done.has(name)),
  )
  return callable(free, nowMs)
}

/** Of ops that nothing holds back: those that are due, and when the next one will be. */
export function callable(ops: readonly Op[], nowMs: number): Calls {
  const ready = ops.filter((op) => callableAtMs(op) <= nowMs)
  const waiting = ops.filter((op) => callableAtMs(op) > nowMs)
  return { ready, nextAtMs: Math.min(...waiting.map(callableAtMs)) }
}
