import type { Acknowledgement } from '../store/broker/insert-broker-marks.ts'
import { type BrokerMark, selectBrokerMarks } from '../store/broker/select-broker-marks.ts'
import { rewindPosition } from '../store/log/rewind-position.ts'
import { selectExpiredId } from '../store/log/select-expired-id.ts'
import type { Queryable } from '../store/queryable.ts'

/** Whether the broker still has what it acknowledged. */
export type StillThere = (ack: Acknowledgement) => Promise<boolean>

/** A shard as its owner knows it. */
export interface OwnedShard {
  readonly shard: number
  readonly epoch: string
  /** The newest acknowledgement of each stream. */
  readonly newest: readonly Acknowledgement[]
}

/** What was found lost, and whether the shard could be taken back. */
export interface Rewound {
  readonly streams: readonly string[]
  /** Undefined: to the beginning of what is kept. */
  readonly mark: BrokerMark | undefined
  /** How many messages are not published again because they are older than the retention; counted to 100,000. */
  readonly leftOut: number
}

/** How the broker is looked at. */
export interface Survey {
  readonly isThere: StillThere
  readonly retentionMs: number
  /** Rejects if the shard may not be taken back to the beginning of what is kept. */
  readonly mayStartOver?: () => Promise<void>
}

/**
 * Compares what the broker has acknowledged with what it has. If it has lost its newest messages (a restart after a loss of
 * power, a store that was set back or removed), takes the shard back to the newest mark that is still there, of several such
 * streams to the oldest of them. Its owner is fenced by that. Resolves to undefined if everything is there. What is older
 * than the retention is not published again.
 *
 * Before it takes the shard to the beginning of what is kept, `mayStartOver` is asked, which rejects if it may not.
 *
 * A stream loses its end, so that marks are there up to one and gone from it on: it is found by halving.
 */
export async function rewindToSurvivors(
  client: Queryable,
  { shard, epoch, newest }: OwnedShard,
  { isThere, retentionMs, mayStartOver = async () => undefined }: Survey,
): Promise<Rewound | undefined> {
  const streams: string[] = []
  for (const ack of newest) if (!(await isThere(ack))) streams.push(ack.stream)
  if (streams.length === 0) return undefined
  const marks = await selectBrokerMarks(client, shard)
  const survivors: (BrokerMark | undefined)[] = []
  for (const stream of streams) survivors.push(await lastThere(inOrder(marks, stream), isThere))
  const oldest = survivors.includes(undefined)
    ? undefined
    : survivors.reduce((one, other) => (Number(other?.id) < Number(one?.id) ? other : one))
  if (oldest === undefined) await mayStartOver()
  const expired = await selectExpiredId(client, retentionMs)
  const leftOut = await rewindPosition(client, shard, epoch, streams, { mark: oldest?.id, expired })
  return leftOut === undefined ? undefined : { streams, mark: oldest, leftOut }
}

/** Of each stream the one with the highest number. */
export function newestOf(acks: readonly Acknowledgement[]): readonly Acknowledgement[] {
  const newest = new Map<string, Acknowledgement>()
  for (const ack of acks) {
    const known = newest.get(ack.stream)
    if (known === undefined || ack.sequence > known.sequence) newest.set(ack.stream, ack)
  }
  return [...newest.values()]
}

function inOrder(marks: readonly BrokerMark[], stream: string): readonly BrokerMark[] {
  return marks.filter((mark) => mark.stream === stream).toSorted((a, b) => a.sequence - b.sequence)
}

async function lastThere(marks: readonly BrokerMark[], isThere: StillThere): Promise<BrokerMark | undefined> {
  let [there, gone] = [-1, marks.length]
  while (gone - there > 1) {
    const middle = Math.floor((there + gone) / 2)
    const mark = marks[middle]
    if (mark !== undefined && (await isThere(mark))) there = middle
    else gone = middle
  }
  return marks[there]
}
