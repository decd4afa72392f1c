import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'

/** A stretch of time, by performance.now(). */
export interface Span {
  readonly from: number
  readonly to: number
}

/** What a look at the log says: how many of its messages are confirmed by NATS, and how many wait. */
export interface Progress {
  readonly handedOn: number
  readonly waiting: number
}

/** Finds the times in which messages waited for NATS and none was confirmed. */
export interface StandstillWatch {
  /** All that were longer than a moment, and the one that lasts. */
  stop(): Promise<readonly Span[]>
}

const LOOK_MS = 100
/** A database that takes longer for a look stands still itself: nothing is committed then. */
const ANSWER_MS = 1000

/** Looks at the log of a database until it is stopped. */
export function watchStandstills(pool: pg.Pool): StandstillWatch {
  const book = new StandstillBook()
  let isOpen = true
  const watching = (async () => {
    while (isOpen) {
      const askedAt = performance.now()
      const progress = await readProgress(pool).catch(() => undefined)
      const at = performance.now()
      book.note(at, at - askedAt > ANSWER_MS ? undefined : progress)
      await sleep(LOOK_MS)
    }
  })()
  return {
    async stop() {
      isOpen = false
      await watching
      return book.close(performance.now())
    },
  }
}

/** Makes standstills out of looks. */
export class StandstillBook {
  readonly #found: Span[] = []
  /** When all was well the last time. */
  #wellAt: number | undefined
  #handedOn = -1
  #isWaiting = false

  /** @param progress - undefined: the database did not answer, so nothing could be committed either */
  note(at: number, progress: Progress | undefined): void {
    const isWell = progress === undefined || progress.waiting === 0 || progress.handedOn > this.#handedOn
    if (isWell) {
      if (this.#isWaiting) this.#keep(at)
      this.#wellAt = at
    }
    this.#isWaiting = progress !== undefined && progress.waiting > 0
    if (progress !== undefined) this.#handedOn = progress.handedOn
  }

  close(at: number): readonly Span[] {
    if (this.#isWaiting) this.#keep(at)
    return this.#found
  }

  #keep(to: number): void {
    const from = this.#wellAt ?? to
    if (to - from > STANDSTILL_MIN_MS) this.#found.push({ from, to })
  }
}

/** Anything shorter is how messages come and go. */
const STANDSTILL_MIN_MS = 300

/** The longest, in milliseconds; 0 if there was none. */
export function longest(standstills: readonly Span[]): number {
  return Math.max(0, ...standstills.map(({ from, to }) => to - from))
}

/** The longest of the standstills that one of these faults had a part in: it was there while they lasted. */
export function longestDuring(standstills: readonly Span[], faults: readonly Span[]): number {
  return longest(standstills.filter((still) => faults.some(({ from, to }) => from < still.to && still.from < to)))
}

async function readProgress(pool: pg.Pool): Promise<Progress> {
  const { rows } = await pool.query<Progress>(
    `select count(*) filter (where is_handed_on)::int as "handedOn", count(*) filter (where not is_handed_on)::int as waiting
     from (
       select pg_visible_in_snapshot(log.xid, position.snapshot) as is_handed_on from postcommit.outbox log
       join postcommit.position on log.slot between slot_first and slot_last
     ) log`,
  )
  return rows[0] ?? { handedOn: 0, waiting: 0 }
}
