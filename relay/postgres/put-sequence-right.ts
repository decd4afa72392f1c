import type { Logger } from 'pino'
import type { Metrics } from '../observe/metrics.ts'
import { type AdvancedSequence, advanceSequence } from '../store/log/advance-sequence.ts'
import type { Queryable } from '../store/queryable.ts'

/** Who looks, and where it is told. */
export interface SequenceWatch {
  readonly source: string
  readonly metrics: Metrics
  readonly log: Logger
}

/** Takes the sequence of the log forward if it was set back, and says so. */
export async function putSequenceRight(
  client: Queryable,
  { source, metrics, log }: SequenceWatch,
  room?: number,
): Promise<AdvancedSequence | undefined> {
  const advanced = await advanceSequence(client, room)
  if (advanced === undefined) return undefined
  metrics.sequenceSetbacks.inc({ source })
  log.error(
    { source, from: String(advanced.from), to: String(advanced.to) },
    'the sequence of the log had gone back (setval, a restored sequence?): it is beyond every id again',
  )
  return advanced
}
