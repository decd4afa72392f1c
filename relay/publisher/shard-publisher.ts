import type { Logger } from 'pino'
import { failpoint, NATS_DESTINATION, PostcommitError } from 'postcommit/protocol'
import type { Broker } from '../broker/broker.ts'
import type { HandedOn } from '../engine/whereabouts.ts'
import { collapseLog } from '../observe/collapsed-log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { type Acknowledgement, insertBrokerMarks } from '../store/broker/insert-broker-marks.ts'
import { selectBlockedKeys } from '../store/delivery/select-blocked-keys.ts'
import type { SavedPosition } from '../store/log/raise-floor.ts'
import { savePosition } from '../store/log/save-position.ts'
import type { LogRow } from '../store/log/select-window.ts'
import type { TakenShard } from '../store/log/take-shard.ts'
import type { Queryable } from '../store/queryable.ts'
import { WakeSignal } from '../wake-signal.ts'
import { FloorWatch } from './floor-watch.ts'
import { Pipeline, type PipelineEvents, type SettledBatch } from './pipeline.ts'
import { fenced, type ReadBatch, WindowReader } from './window-reader.ts'

/** What a shard is published with. */
export interface ShardPublisherOptions {
  readonly source: string
  readonly shard: TakenShard
  /** Of each stream what it has acknowledged with the highest number to the owners before. */
  readonly newest: readonly Acknowledgement[]
  /** A connection of its own, with READER_OPTIONS. */
  readonly client: Queryable
  readonly broker: Broker
  readonly metrics: Metrics
  readonly log: Logger
  readonly inFlightMax: number
  readonly pollMs: { readonly min: number; readonly max: number }
  /** The newest message of a batch that was handed on. */
  readonly onHandedOn: (shard: number, message: HandedOn) => void
  /** A read of the log begins, and has succeeded. */
  readonly onReading: () => void
  readonly onRead: () => void
  /** The broker has acknowledged a message under a number that is not its highest: it may have been set back. */
  readonly onOldNumber: () => void
}

/**
 * A batch that has been read and fed to the pipeline, and is not saved yet. Its rows are the pipeline's: held here as well
 * until the last of them is settled, they would be copied by the young collections in between.
 */
interface Outstanding {
  readonly position: ReadBatch['position']
  readonly messages: number
  /** Of their contents. */
  readonly bytes: number
  /** Where the id sequence stood when it was read. */
  readonly sequence: bigint | undefined
  result: SettledBatch | undefined
}

/** What has been acknowledged since the last save. */
interface Unsaved {
  readonly position: ReadBatch['position']
  readonly sequence: bigint | undefined
  /** Of the stream that has acknowledged last. */
  readonly ack: Acknowledgement | undefined
  readonly messages: number
  readonly timer: NodeJS.Timeout
}

/**
 * Small windows are saved together, after so many messages or so long, whichever comes first; it is also what a
 * successor publishes again after a crash. A save for each stood 0.3 ms in the way of the read behind it, up to 500
 * times a second.
 */
const UNSAVED_MAX = 100
const UNSAVED_MS = 20
/**
 * Messages that are read and not saved: three pages, one that comes back, one that is under way, one to go on with. By
 * messages and not by batches, because a message that gets no answer for a while must not hold up what is read after it.
 */
const OUTSTANDING_MAX = 3000
/** The same three pages where messages are large: they are in memory until they are acknowledged. */
const OUTSTANDING_BYTES_MAX = 24 * 1024 * 1024
/** Batches under way before the next one is waited for a moment. */
const BATCHES_AT_ONCE = 3
const MOMENT_MS = 10
const BLOCKED_KEYS_REFRESH_MS = 1000
const IDLE_SAVE_MS = 10_000
/** How far apart the marks are: what is published again at least where a broker has forgotten something. */
const MARK_MS = 30_000

/** Publishes one shard of the log: read a window, hand it on, save the position; the next is read meanwhile. */
export class ShardPublisher {
  /** Settles when it has ended: `fenced` if another relay owns the shard by now. Rejects if its connection failed. */
  readonly ended: Promise<'stopped' | 'fenced'>
  readonly #options: ShardPublisherOptions
  readonly #reader: WindowReader
  readonly #floor: FloorWatch
  readonly #signal = new WakeSignal()
  readonly #outstanding: Outstanding[] = []
  #abandoned = false
  #unsaved: Unsaved | undefined
  /** The save that is under way, while the next batch is being read. */
  #saving: Promise<void> = Promise.resolve()
  /** Acknowledged, and not in the metrics yet. */
  #uncounted = { published: 0, duplicates: 0 }
  #stopping = false
  #clockOffsetMs: number | undefined
  #pauseMs: number
  #savedAt = performance.now()
  #saved: SavedPosition
  /** Of each stream what it has acknowledged with the highest number. */
  readonly #newest: Map<string, Acknowledgement>
  #markedAt = Number.NEGATIVE_INFINITY
  #hasUnmarked = false
  #refreshAt = performance.now() + BLOCKED_KEYS_REFRESH_MS

  constructor(options: ShardPublisherOptions) {
    this.#options = options
    const { shard } = options
    this.#floor = new FloorWatch(options)
    this.#reader = new WindowReader(options.client, shard, () => this.#floor.floor)
    this.#saved = { snapshot: shard.snapshot, low: BigInt(shard.low) }
    this.#pauseMs = options.pollMs.min
    this.#newest = new Map(options.newest.map((ack) => [ack.stream, ack]))
    this.ended = this.#run()
    // A caller that awaits it gets the error; no caller has to.
    this.ended.catch(() => undefined)
  }

  /** Of each stream the newest acknowledgement. */
  get newest(): readonly Acknowledgement[] {
    return [...this.#newest.values()]
  }

  /** Looks at the log now. */
  wake(): void {
    this.#signal.call()
  }

  /** Hands on what has been read, at most for `drainMs`, saves, and ends. */
  async stop(drainMs: number): Promise<void> {
    this.#stopping = true
    this.#signal.call()
    const timer = setTimeout(() => {
      this.#abandoned = true
      this.#signal.call()
    }, drainMs)
    await Promise.allSettled([this.ended])
    clearTimeout(timer)
  }

  async #run(): Promise<'stopped' | 'fenced'> {
    const { source, shard, broker, metrics, log, inFlightMax } = this.#options
    const owned = { source, shard: String(shard.shard) }
    const pipeline = new Pipeline(broker, this.#events(), inFlightMax, await this.#blockedKeys())
    metrics.leaseHeld.set(owned, 1)
    try {
      while (!this.#stopping) {
        if (!(await this.#step(pipeline))) break
      }
      await this.#saveAll()
      return 'stopped'
    } catch (error) {
      if (!(error instanceof PostcommitError) || error.code !== 'POSTCOMMIT_FENCED') throw error
      metrics.fencedWrites.inc({ source })
      log.warn({ ...owned, epoch: shard.epoch }, error.message)
      return 'fenced'
    } finally {
      clearTimeout(this.#unsaved?.timer)
      pipeline.stop()
      this.#count()
      metrics.leaseHeld.set(owned, 0)
    }
  }

  /** One read and what follows from it; false if the wait for the broker was abandoned. */
  async #step(pipeline: Pipeline): Promise<boolean> {
    this.#options.onReading()
    const wasSetBack = this.#reader.takeSetback()
    if (wasSetBack || this.#floor.isDue) await this.#floor.look(this.#saved, wasSetBack)
    const batch = await this.#reader.read()
    this.#clockOffsetMs = batch.clockOffsetMs
    this.#options.onRead()
    if (batch.rows.length > 0) {
      this.#handOn(pipeline, batch)
      while (this.#isFull) if (!(await this.#settleNext())) return false
      // What comes meanwhile is read together; but no longer than a moment, in case the oldest gets no answer.
      if (this.#outstanding.length >= BATCHES_AT_ONCE) await this.#signal.wait(MOMENT_MS)
      await this.#takeSettled()
    } else await this.#idle(batch)
    const isStale = performance.now() > this.#refreshAt
    return pipeline.blockedKeys.size > 0 && isStale ? await this.#refreshBlockedKeys(pipeline) : true
  }

  #handOn(pipeline: Pipeline, batch: ReadBatch): void {
    failpoint('publisher.before_publish')
    const { sequence } = this.#reader
    const { rows, bytes, position } = batch
    const newest = rows.at(-1)
    const entry: Outstanding = { position, messages: rows.length, bytes, sequence, result: undefined }
    const last = newest && { id: newest.id, gid: newest.gid, branch: newest.branch, createdMs: newest.createdMs }
    void pipeline.feed(rows).then((result) => {
      entry.result = result
      if (last !== undefined) this.#options.onHandedOn(this.#options.shard.shard, last)
      this.#signal.call()
    })
    this.#outstanding.push(entry)
    this.#pauseMs = this.#options.pollMs.min
  }

  /** Whether as much is read and not saved as may be. */
  get #isFull(): boolean {
    const sum = (of: (batch: Outstanding) => number) => this.#outstanding.reduce((total, batch) => total + of(batch), 0)
    return sum(({ messages }) => messages) >= OUTSTANDING_MAX || sum(({ bytes }) => bytes) >= OUTSTANDING_BYTES_MAX
  }

  /** Waits for a call, a batch that has settled, or the poll. Saves now and then, so that the lower bound of the ids rises without messages too. */
  async #idle({ position }: ReadBatch): Promise<void> {
    await this.#takeSettled()
    if (this.#outstanding.length > 0) return await this.#signal.wait(this.#nextPauseMs())
    await this.#saving
    const isStale = this.#unsaved === undefined && performance.now() - this.#savedAt > IDLE_SAVE_MS
    if (isStale) await this.#save(position, [], undefined, this.#reader.sequence)
    await this.#signal.wait(this.#nextPauseMs())
  }

  #nextPauseMs(): number {
    const pauseMs = this.#pauseMs
    this.#pauseMs = Math.min(this.#options.pollMs.max, pauseMs * 2)
    return pauseMs
  }

  async #saveAll(): Promise<boolean> {
    let isSettled = true
    while (isSettled && this.#outstanding.length > 0) isSettled = await this.#settleNext()
    this.#saveUnsaved()
    await this.#saving
    return isSettled
  }

  /** Waits for the oldest outstanding batch; false if the wait was abandoned. */
  async #settleNext(): Promise<boolean> {
    while (this.#outstanding[0] !== undefined && this.#outstanding[0].result === undefined) {
      if (this.#abandoned) return false
      await this.#signal.wait(this.#options.pollMs.max)
    }
    await this.#takeSettled()
    return true
  }

  /**
   * Takes the oldest batches that are settled, as far as none before them is open. The save, if there is one, is not waited
   * for: what follows on the connection comes after it anyway, and the next save waits for it.
   */
  async #takeSettled(): Promise<void> {
    const [oldest] = this.#outstanding
    if (oldest?.result === undefined) return
    failpoint('publisher.after_ack')
    const firstOpen = this.#outstanding.findIndex(({ result }) => result === undefined)
    const settled = this.#outstanding.splice(0, firstOpen === -1 ? this.#outstanding.length : firstOpen)
    const last = settled.at(-1) ?? oldest
    this.#count()
    // Ends this loop if a save was refused, and lets no more than one wait.
    await this.#saving
    const parked = settled.flatMap(({ result }) => result?.parked ?? [])
    this.#remember(last, settled)
    const { messages } = this.#unsaved ?? { messages: 0 }
    if (parked.length > 0 || messages >= UNSAVED_MAX) this.#saveUnsaved(parked)
  }

  #remember({ position, sequence, result }: Outstanding, settled: readonly Outstanding[]): void {
    const before = this.#unsaved
    for (const one of settled) for (const ack of one.result?.acks ?? []) this.#acknowledged(ack)
    const newest = this.#newest.get(result?.acks.at(-1)?.stream ?? '')
    this.#unsaved = {
      position,
      sequence,
      ack: newest ?? before?.ack,
      messages: settled.reduce((sum, { messages }) => sum + messages, before?.messages ?? 0),
      // A timer, because the loop may be waiting for the broker: however long that is away, no more is repeated.
      timer: before?.timer ?? setTimeout(() => this.#saveUnsaved(), UNSAVED_MS),
    }
  }

  #acknowledged(ack: Acknowledgement): void {
    const known = this.#newest.get(ack.stream)
    if (known === undefined || ack.sequence > known.sequence) {
      this.#newest.set(ack.stream, ack)
      this.#hasUnmarked = true
    } else if (ack.messageId !== known.messageId) this.#options.onOldNumber()
  }

  /** Hands the save to the connection, with what is to be set aside. */
  #saveUnsaved(parked: SettledBatch['parked'] = []): void {
    if (this.#unsaved === undefined) return
    const { position, ack, sequence, timer } = this.#unsaved
    clearTimeout(timer)
    this.#unsaved = undefined
    this.#saving = this.#saving.then(() => this.#save(position, parked, ack, sequence))
    // A caller that awaits it gets the error; until then no caller has to.
    this.#saving.catch(() => undefined)
  }

  async #save(
    position: ReadBatch['position'],
    parked: SettledBatch['parked'],
    ack: Acknowledgement | undefined,
    sequence: bigint | undefined,
  ): Promise<void> {
    const { client, shard } = this.#options
    const { newest } = this
    const xid = await savePosition(client, shard.shard, shard.epoch, { ...position, ack }, parked)
    if (xid === undefined) throw fenced(shard)
    failpoint('publisher.after_save')
    this.#savedAt = performance.now()
    this.#saved = position
    // The sequence was read before this xid was drawn: a lower bound for all that comes after it.
    if (sequence !== undefined) this.#reader.mark(sequence, xid)
    if (!this.#hasUnmarked || performance.now() - this.#markedAt < MARK_MS) return
    this.#hasUnmarked = false
    this.#markedAt = performance.now()
    await insertBrokerMarks(client, shard.shard, shard.epoch, position, newest)
  }

  /** Adds to the counters what was acknowledged since: one call of theirs takes as long as all else about a message. */
  #count(): void {
    const { metrics, source } = this.#options
    const { published, duplicates } = this.#uncounted
    this.#uncounted = { published: 0, duplicates: 0 }
    if (published > 0) metrics.published.inc({ source }, published)
    if (duplicates > 0) metrics.duplicates.inc({ source }, duplicates)
  }

  async #refreshBlockedKeys(pipeline: Pipeline): Promise<boolean> {
    // With nothing outstanding the table is the whole truth about what is set aside.
    if (!(await this.#saveAll())) return false
    const begunAt = performance.now()
    pipeline.unblock(await this.#blockedKeys())
    // However many keys are blocked, no more than a fiftieth of the time.
    const tookMs = performance.now() - begunAt
    this.#refreshAt = performance.now() + Math.max(BLOCKED_KEYS_REFRESH_MS, 50 * tookMs)
    return true
  }

  #blockedKeys(): Promise<Set<string>> {
    const { client, shard } = this.#options
    return selectBlockedKeys(client, shard.slotFirst, shard.slotLast)
  }

  #events(): PipelineEvents {
    const { metrics, source, log, shard } = this.#options
    const lines = collapseLog()
    const parked = metrics.parked.labels({ source })
    const seconds = metrics.commitToConfirm.labels({ source, destination: NATS_DESTINATION })
    return {
      acked: ({ createdMs }: LogRow, duplicate: boolean) => {
        failpoint('publisher.mid_window')
        this.#uncounted.published += 1
        if (duplicate) this.#uncounted.duplicates += 1
        if (this.#clockOffsetMs === undefined) return
        seconds.observe(Math.max(0, performance.now() + this.#clockOffsetMs - Number(createdMs)) / 1000)
      },
      parked({ gid, branch, topic }, { error, dead }) {
        parked.inc()
        const what = dead === undefined ? 'messages set aside' : 'dead letters'
        lines.add(error, (count) => log.warn({ source, gid, branch, topic, error, count }, what))
      },
      outage: (error) => {
        this.#count()
        log.warn({ source, shard: shard.shard, error }, 'broker outage: publishing is paused')
      },
      recovered: () => log.info({ source, shard: shard.shard }, 'broker is back: publishing goes on'),
    }
  }
}
