import { mayHaveRun, type Op } from './op.ts'

/**
 * Whether everything that has been done, or may have been, can still be undone.
 *
 * Past the pivot there is no way but forward. While it is not known whether the pivot succeeded there is no way back
 * either: it has no compensation, so giving up would leave its effect standing next to steps that were undone.
 *
 * @see "Sagas" (Garcia-Molina and Salem, 1987), section 5, save-points and forward recovery
 */
export function mayTurnBack(ops: readonly Op[]): boolean {
  return !ops.some((op) => {
    if (op.op !== 'action' || op.status === 'failed' || !mayHaveRun(op)) return false
    if (op.recovery === 'pivot') return true
    return op.recovery === 'forward' && !ops.some((other) => other.branch === op.branch && other.op === 'compensate')
  })
}
