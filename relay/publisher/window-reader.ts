import { PostcommitError } from 'postcommit/protocol'
import { LowBounds, parseSnapshot, type Snapshot } from '../engine/snapshot.ts'
import type { PositionUpdate } from '../store/log/save-position.ts'
import { type Page, selectPage } from '../store/log/select-page.ts'
import { type LogRow, type ReadLimit, selectWindow } from '../store/log/select-window.ts'
import type { TakenShard } from '../store/log/take-shard.ts'
import type { Queryable } from '../store/queryable.ts'

/** A piece of the log, and the position to save once all of it has been handed on. */
export interface ReadBatch {
  readonly rows: readonly LogRow[]
  /** Of their contents. */
  readonly bytes: number
  readonly position: Omit<PositionUpdate, 'ack'>
  /** The database's clock less this process's monotonic clock, milliseconds; undefined before the first full read. */
  readonly clockOffsetMs: number | undefined
}

/**
 * What is read at once; a window with more is worked off page by page. Up to three reads are in the process, and each
 * takes some three times as much as its contents are while it goes through.
 */
const PAGE: ReadLimit = { rows: 1000, bytes: 8 * 1024 * 1024 }

/** A large window that is being worked off. */
interface Backlog {
  /** The snapshot with which it ends. */
  readonly until: string
  readonly low: bigint
  doneId: bigint
}

/**
 * Reads a shard's part of the log as a sequence of batches, each exactly the rows committed since the one before.
 *
 * Normally a batch is a snapshot window: visible now, not visible in the last snapshot. Nothing is waited for, and
 * nothing is lost behind a transaction that commits late, because being late is being in the next window. When a
 * window is larger than one SELECT should carry, its end is kept and it is worked off page by page; every save says how
 * far, and a successor goes on after the last saved page.
 */
export class WindowReader {
  readonly #client: Queryable
  readonly #shard: TakenShard
  readonly #bounds: LowBounds
  #snapshot: Snapshot
  #text: string
  #sequence: bigint | undefined
  #backlog: Backlog | undefined
  #clockOffsetMs: number | undefined
  readonly #floor: () => bigint
  /** The highest that the sequence is known to have been at. */
  #highest: bigint
  #wasSetBack = false

  /** @param floor - ids at or below are not looked at; see `FloorWatch` */
  constructor(client: Queryable, shard: TakenShard, floor = () => BigInt(shard.floor)) {
    this.#client = client
    this.#floor = floor
    this.#highest = BigInt(shard.low)
    this.#shard = shard
    this.#text = shard.snapshot
    this.#snapshot = parseSnapshot(shard.snapshot)
    this.#bounds = new LowBounds(BigInt(shard.low))
    if (shard.windowSnapshot !== null && shard.windowId !== null) {
      this.#backlog = this.#begin(shard.windowSnapshot, BigInt(shard.windowId))
    }
  }

  /** Where the id sequence stood at the last read; to be remembered once an xid has been drawn after it. */
  get sequence(): bigint | undefined {
    return this.#sequence
  }

  /** Whether a read has found the sequence behind where it was before; asking ends it. */
  takeSetback(): boolean {
    const wasSetBack = this.#wasSetBack
    this.#wasSetBack = false
    return wasSetBack
  }

  /** Tells that the sequence stood at `sequence` before xid `after` was drawn. */
  mark(sequence: bigint, after: bigint): void {
    this.#bounds.add(sequence, after)
  }

  /** Whether a large window is half done. */
  get inBacklog(): boolean {
    return this.#backlog !== undefined
  }

  /** The next batch; empty if nothing has been committed since. */
  async read(): Promise<ReadBatch> {
    if (this.#backlog !== undefined) return await this.#readPage(this.#backlog)
    const window = await selectWindow(this.#client, this.#range(), { ...PAGE, rows: PAGE.rows + 1 })
    this.#sequence = window.sequence
    if (window.sequence < this.#highest) this.#wasSetBack = true
    this.#highest = window.sequence
    this.#clockOffsetMs = window.nowMs - performance.now()
    if (window.rows.length <= PAGE.rows && window.bytes < PAGE.bytes) {
      return this.#advance(window.snapshot, window)
    }
    const rows = window.rows.slice(0, PAGE.rows)
    this.#backlog = this.#begin(window.snapshot, idOfLast(rows))
    return this.#page(this.#backlog, { rows, bytes: window.bytes })
  }

  async #readPage(backlog: Backlog): Promise<ReadBatch> {
    const { until, doneId: fromId } = backlog
    const { slotFirst, slotLast } = this.#shard
    const range = { after: this.#text, until, fromId, slotFirst, slotLast }
    const page = await selectPage(this.#client, range, PAGE)
    const { rows, bytes } = page
    if (rows.length < PAGE.rows && bytes < PAGE.bytes) {
      this.#backlog = undefined
      return this.#advance(until, page)
    }
    backlog.doneId = idOfLast(rows)
    return this.#page(backlog, page)
  }

  #page(backlog: Backlog, { rows, bytes }: Page): ReadBatch {
    const window = { snapshot: backlog.until, id: backlog.doneId.toString() }
    return {
      rows,
      bytes,
      position: { snapshot: this.#text, low: backlog.low, window },
      clockOffsetMs: this.#clockOffsetMs,
    }
  }

  #advance(text: string, { rows, bytes }: Page): ReadBatch {
    this.#text = text
    this.#snapshot = parseSnapshot(text)
    const low = this.#bounds.below(this.#snapshot)
    return { rows, bytes, position: { snapshot: text, low, window: undefined }, clockOffsetMs: this.#clockOffsetMs }
  }

  #begin(until: string, doneId: bigint): Backlog {
    return { until, low: this.#bounds.below(this.#snapshot), doneId }
  }

  #range() {
    const { slotFirst, slotLast } = this.#shard
    return { after: this.#snapshot, floor: this.#floor(), slotFirst, slotLast }
  }
}

function idOfLast(rows: readonly LogRow[]): bigint {
  const last = rows.at(-1)
  if (last === undefined) throw new Error('a full page has no row')
  return BigInt(last.id)
}

/** What an owner finds out when a write of its own is refused. */
export function fenced({ shard }: TakenShard): PostcommitError<'POSTCOMMIT_FENCED'> {
  return new PostcommitError('POSTCOMMIT_FENCED', { what: `shard ${shard}` })
}
