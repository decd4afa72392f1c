import { Ack } from './ack-subject.ts'
import type { ConsumerInfo } from './consumer-info.ts'
import type { Entry, Lanes } from './lanes.ts'

/** What progress reports need. */
export interface ProgressOptions<Content> {
  readonly lanes: Lanes<Content>
  readonly say: (reply: string, ack: string) => void
  /** Asks the server for the consumer; undefined if there is no answer. */
  readonly select: () => Promise<ConsumerInfo | undefined>
  /** Whether the server can hear us. */
  readonly isAttached: () => boolean
  /** Messages were given up. */
  readonly onChange: () => void
}

const LOOK_MS = 1000
/** How many times in a row the server answers, and does not deliver what was recalled, until it is given up. */
const LOOKS_MAX = 3

/**
 * Keeps the server from delivering again what is here: everything that is not settled, running or waiting, is
 * reported as being worked at four times within the server's patience. What was recalled is left out.
 *
 * A recalled message comes within milliseconds. If it does not although the server answers, the stream does not have
 * it any more, or another process on this durable got it; the messages behind it must not wait for it.
 */
export class Progress<Content> {
  readonly #options: ProgressOptions<Content>
  readonly #recalledMs = new WeakMap<Entry<Content>, number>()
  readonly #looks = new WeakMap<Entry<Content>, number>()
  #reporter: NodeJS.Timeout | undefined
  #looker: NodeJS.Timeout | undefined

  constructor(options: ProgressOptions<Content>) {
    this.#options = options
  }

  start(ackWaitMs: number): void {
    this.stop()
    this.#reporter = setInterval(() => this.#report(), ackWaitMs / 4)
    this.#looker = setInterval(() => void this.#lookForGone(), LOOK_MS)
  }

  stop(): void {
    clearInterval(this.#reporter)
    clearInterval(this.#looker)
  }

  /** Asks the server to deliver a message again. */
  recall(entry: Entry<Content>): void {
    this.#recalledMs.set(entry, performance.now())
    this.#looks.set(entry, 0)
    this.#options.say(entry.reply, Ack.Again)
  }

  #report(): void {
    const { lanes, say, isAttached } = this.#options
    if (!isAttached()) return
    for (const entry of lanes.entries) if (!entry.isRecalled) say(entry.reply, Ack.Working)
  }

  /** Also finds what somebody purged because it keeps failing. */
  async #lookForGone(): Promise<void> {
    const { lanes, select, isAttached, onChange } = this.#options
    const overdueMs = performance.now() - LOOK_MS
    const isSuspect = (entry: Entry<Content>) => entry.phase === 'paused' || this.#isOverdue(entry, overdueMs)
    const suspects = isAttached() ? [...lanes.entries].filter(isSuspect) : []
    const info = suspects.length === 0 ? undefined : await select()
    if (info === undefined) return
    for (const entry of suspects) {
      if (entry.sequence <= info.progress.settledThrough) lanes.drop(entry)
      // It may have come, and even have been recalled once more, while the server was asked.
      if (!this.#isOverdue(entry, overdueMs)) continue
      const looks = (this.#looks.get(entry) ?? 0) + 1
      this.#looks.set(entry, looks)
      // Dropped here it is not lost: should the server deliver it after all, it is new.
      if (looks >= LOOKS_MAX) lanes.drop(entry)
    }
    onChange()
  }

  #isOverdue(entry: Entry<Content>, overdueMs: number): boolean {
    return entry.isRecalled && (this.#recalledMs.get(entry) ?? 0) < overdueMs
  }
}
