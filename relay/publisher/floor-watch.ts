import { putSequenceRight, type SequenceWatch } from '../postgres/put-sequence-right.ts'
import { type FreeIds, hasHiddenMessages, liftHiddenMessages } from '../store/log/lift-hidden-messages.ts'
import { type Floor, raiseFloor, type SavedPosition } from '../store/log/raise-floor.ts'
import type { TakenShard } from '../store/log/take-shard.ts'
import type { Queryable } from '../store/queryable.ts'
import { fenced } from './window-reader.ts'

/** What a floor is watched with. */
export interface FloorWatchOptions extends SequenceWatch {
  readonly shard: TakenShard
  readonly client: Queryable
}

/** How soon a message that was committed below the floor is found, if no read has seen the sequence go back. */
const LOOK_MS = 5000
const RAISE_MS = 60_000
/** How long after a setback every read is preceded by a look: transactions are open that have drawn their ids. */
const UNSETTLED_MS = 10_000
/** Ids that are kept for them, below those of messages which are committed after the sequence was put right. */
const ROOM = 100_000

/**
 * Sees to it that no message is missed below the floor, where the readers of a shard do not look.
 *
 * That every new message has an id above it is true as long as the sequence goes forward only, and sequences are set by
 * scripts, dumps and operators. So it is not believed but looked at: what has appeared below since the floor was last
 * raised is given a new id. Only then may the floor rise, from a position of which the same is true.
 */
export class FloorWatch {
  readonly #options: FloorWatchOptions
  #floor: Floor
  #lookedAt = Number.NEGATIVE_INFINITY
  #raisedAt = Number.NEGATIVE_INFINITY
  #unsettledUntil = Number.NEGATIVE_INFINITY
  #room: FreeIds | undefined

  constructor(options: FloorWatchOptions) {
    this.#options = options
    const { floor, floorSnapshot } = options.shard
    this.#floor = { floor: BigInt(floor), floorSnapshot }
  }

  /** Readers look at ids above it only. */
  get floor(): bigint {
    return this.#floor.floor
  }

  get isDue(): boolean {
    const now = performance.now()
    return now - this.#lookedAt > LOOK_MS || now < this.#unsettledUntil
  }

  /**
   * Looks below the floor, and raises it to a saved position now and then.
   * @param saved - as it is in the table, or an earlier one
   * @param wasSetBack - a read has found the sequence behind
   * @throws `POSTCOMMIT_FENCED`.
   */
  async look(saved: SavedPosition, wasSetBack: boolean): Promise<void> {
    // Otherwise the housekeeping sees to it.
    if (wasSetBack || this.#lookedAt === Number.NEGATIVE_INFINITY) await this.#putRight()
    await this.#liftHidden()
    if (performance.now() - this.#raisedAt > RAISE_MS) {
      await this.#raise(saved)
      await this.#liftHidden()
    }
    this.#lookedAt = performance.now()
  }

  async #liftHidden(): Promise<void> {
    const { client, shard } = this.#options
    const range = { ...this.#floor, slotFirst: shard.slotFirst, slotLast: shard.slotLast }
    if (!(await hasHiddenMessages(client, range))) return
    // Before anything gets a new id from it.
    await this.#putRight()
    const lifted = await liftHiddenMessages(client, range, this.#room)
    if (this.#room !== undefined) this.#room = { ...this.#room, next: this.#room.next + BigInt(lifted) }
    this.#tell(lifted)
  }

  /** What is committed from now on has higher ids than what is lifted later: the order of a key is that of its commits. */
  async #putRight(): Promise<void> {
    const advanced = await putSequenceRight(this.#options.client, this.#options, ROOM)
    if (advanced === undefined) return
    this.#room = { next: advanced.room, end: advanced.to }
    this.#unsettledUntil = performance.now() + UNSETTLED_MS
  }

  async #raise(saved: SavedPosition): Promise<void> {
    const { client, shard } = this.#options
    const raised = await raiseFloor(client, shard.shard, shard.epoch, saved)
    if (raised === undefined) throw fenced(shard)
    this.#floor = raised
    this.#raisedAt = performance.now()
  }

  #tell(messages: number): void {
    const { shard, source, log, metrics } = this.#options
    metrics.sequenceSetbacks.inc({ source })
    log.error(
      { source, shard: shard.shard, messages, floor: String(this.floor) },
      'messages were committed below the floor, from a sequence that had gone back: they get new ids and are published',
    )
  }
}
