import type pg from 'pg'
import { notifyRelays } from './store/member/notify-relays.ts'

const GAP_MS = 10

/**
 * Tells the relays of a database that there is something to do, one notice for all that happens within ten milliseconds: a
 * notice a commit would cost more than the commit.
 */
export class RelayNotice {
  readonly #pool: pg.Pool
  #timer: NodeJS.Timeout | undefined

  constructor(pool: pg.Pool) {
    this.#pool = pool
  }

  /** There is something to do. A notice that is lost is made up for by the relays' own polls. */
  give(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      notifyRelays(this.#pool).catch(() => undefined)
    }, GAP_MS).unref()
  }
}
