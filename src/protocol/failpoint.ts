/**
 * Named crash points. Each is a place where dying must lose nothing and double nothing; the fault tests visit every
 * one of them. Unarmed, a failpoint is one comparison.
 */
export const FAILPOINTS = [
  'sdk.before_prepare',
  'sdk.after_prepare',
  'sdk.before_commit',
  'sdk.after_commit',
  'sdk.before_submit',
  'sdk.after_submit',
  'publisher.before_publish',
  'publisher.mid_window',
  'publisher.after_ack',
  'publisher.after_save',
  'dispatcher.after_claim',
  'dispatcher.after_response',
  'dispatcher.after_record',
  'coordinator.after_claim',
  'coordinator.before_call',
  'coordinator.after_response',
  'coordinator.after_record',
  'coordinator.after_hand_over',
  'back_query.after_claim',
  'back_query.after_answer',
  'back_query.after_record',
  'redis_outbox.after_read',
  'redis_outbox.before_commit',
  'redis_outbox.after_commit',
  'redis_outbox.after_delete',
  'consumer.before_commit',
  'consumer.after_commit',
] as const

/** The name of a crash point. */
export type Failpoint = (typeof FAILPOINTS)[number]

/** What happens there: the process dies at once, stops until somebody continues it, or an error is thrown. */
export type FailpointMode = 'kill' | 'stop' | 'throw'

interface Armed {
  readonly mode: FailpointMode
  passesLeft: number
}

let armed: Map<Failpoint, Armed> | undefined

/**
 * Arms crash points from a text such as `publisher.after_ack:kill:3` (the third pass; several joined by commas).
 * For tests only: nothing in the project arms them unless `NODE_ENV` is `test`.
 *
 * @throws Error if the text names no known point or mode.
 */
export function armFailpoints(spec: string): void {
  armed = new Map(
    spec.split(',').map((part) => {
      const [name, mode, nth = '1'] = part.split(':')
      const label = FAILPOINTS.find((known) => known === name)
      if (label === undefined) throw new Error(`unknown failpoint ${name}`)
      if (mode !== 'kill' && mode !== 'stop' && mode !== 'throw') throw new Error(`unknown failpoint mode ${mode}`)
      return [label, { mode, passesLeft: Number(nth) }] as const
    }),
  )
}

/** Marks a crash point. */
export function failpoint(label: Failpoint): void {
  if (armed === undefined) return
  const point = armed.get(label)
  if (point === undefined) return
  point.passesLeft -= 1
  if (point.passesLeft > 0) return
  armed.delete(label)
  switch (point.mode) {
    case 'kill':
      process.kill(process.pid, 'SIGKILL')
      break
    case 'stop':
      process.kill(process.pid, 'SIGSTOP')
      break
    case 'throw':
      throw new Error(`failpoint ${label}`)
  }
}
