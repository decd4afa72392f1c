import { PostcommitError } from 'postcommit/protocol'
import { LowBounds, parseSnapshot, type Snapshot } from '../engine/snapshot.ts'
import { freezeWindow } from '../store/freeze-window.ts'
import type { Queryable } from '../store/queryable.ts'
import type { PositionUpdate } from '../store/save-position.ts'
import { type LogRow, selectWindow } from '../store/select-window.ts'
import type { TakenShard } from '../store/take-shard.ts'
import { fetchWindow, openWindowCursor } from '../store/window-cursor.ts'

/** A piece of the log, and the position to save once all of it has been handed on. */
export interface ReadBatch {
  readonly rows: readonly LogRow[]
  readonly position: Omit<PositionUpdate, 'ack'>
  /** The database's clock less this process's monotonic clock, milliseconds; undefined before the first full read. */
  readonly clockOffsetMs: number | undefined
}

/** Up to this many new rows are read with one plain SELECT. */
const SMALL_WINDOW_ROWS = 2000
/** Rows a FETCH; also how much is published again at most if the relay dies in a backlog. */
const PAGE_ROWS = 2000
/** Rows spooled by one cursor. */
const CURSOR_ROWS = 500_000

interface Backlog {
  /** Where the frozen window ends. */
  readonly until: string
  readonly low: bigint
  doneId: bigint
  /** How many rows of the open cursor have been fetched; undefined while none is open. */
  fetched: number | undefined
}

/**
 * Reads a shard's part of the log as a sequence of batches, each exactly the rows committed since the one before.
 *
 * Normally a batch is a snapshot window: visible now, not visible in the last snapshot. Nothing is waited for, and
 * nothing is lost behind a transaction that commits late, because being late is being in the next window. When a
 * window is larger than one SELECT should carry, its end is frozen in the database and it is worked off page by page
 * through a cursor; a successor resumes it after the last saved page.
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

  constructor(client: Queryable, shard: TakenShard) {
    this.#client = client
    this.#shard = shard
    this.#text = shard.snapshot
    this.#snapshot = parseSnapshot(shard.snapshot)
    this.#bounds = new LowBounds(BigInt(shard.low))
    if (shard.windowSnapshot !== null && shard.windowId !== null) {
      this.#backlog = this.#frozen(shard.windowSnapshot, BigInt(shard.windowId))
    }
  }

  /** Where the id sequence stood at the last read; to be remembered once an xid has been drawn after it. */
  get sequence(): bigint | undefined {
    return this.#sequence
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
    const window = await selectWindow(this.#client, this.#range(), SMALL_WINDOW_ROWS + 1)
    this.#sequence = window.sequence
    this.#clockOffsetMs = window.nowMs - performance.now()
    if (window.rows.length <= SMALL_WINDOW_ROWS) return this.#advance(window.snapshot, window.rows)
    const low = this.#bounds.below(this.#snapshot)
    const until = await freezeWindow(this.#client, this.#shard.shard, this.#shard.epoch, low)
    if (until === undefined) throw fenced(this.#shard)
    this.#backlog = this.#frozen(until, low)
    return await this.#readPage(this.#backlog)
  }

  async #readPage(backlog: Backlog): Promise<ReadBatch> {
    if (backlog.fetched === undefined) {
      const range = { ...this.#range(), low: backlog.low, until: backlog.until, fromId: backlog.doneId }
      await openWindowCursor(this.#client, range, CURSOR_ROWS)
      backlog.fetched = 0
    }
    const rows = await fetchWindow(this.#client, PAGE_ROWS)
    backlog.fetched += rows.length
    backlog.doneId = BigInt(rows.at(-1)?.id ?? backlog.doneId)
    if (rows.length === PAGE_ROWS) return this.#page(backlog, rows)
    if (backlog.fetched >= CURSOR_ROWS) {
      backlog.fetched = undefined
      return this.#page(backlog, rows)
    }
    this.#backlog = undefined
    return this.#advance(backlog.until, rows)
  }

  #page(backlog: Backlog, rows: readonly LogRow[]): ReadBatch {
    const window = { snapshot: backlog.until, id: backlog.doneId.toString() }
    return {
      rows,
      position: { snapshot: this.#text, low: backlog.low, window },
      clockOffsetMs: this.#clockOffsetMs,
    }
  }

  #advance(text: string, rows: readonly LogRow[]): ReadBatch {
    this.#text = text
    this.#snapshot = parseSnapshot(text)
    const low = this.#bounds.below(this.#snapshot)
    return { rows, position: { snapshot: text, low, window: undefined }, clockOffsetMs: this.#clockOffsetMs }
  }

  #frozen(until: string, doneId: bigint): Backlog {
    const low = this.#bounds.below(this.#snapshot)
    return { until, low, doneId, fetched: undefined }
  }

  #range() {
    const { slotFirst, slotLast } = this.#shard
    return { after: this.#snapshot, low: this.#bounds.below(this.#snapshot), slotFirst, slotLast }
  }
}

/** What an owner finds out when a write of its own is refused. */
export function fenced({ shard }: TakenShard): PostcommitError<'POSTCOMMIT_FENCED'> {
  return new PostcommitError('POSTCOMMIT_FENCED', { what: `shard ${shard}` })
}
