import type pg from 'pg'
import { notifyRelays } from './store/member/notify-relays.ts'

const GAP_MS = 10

/**
 * Tells the other relays of a database that there is something to do, one notice for all that happens within ten
 * milliseconds: a notice a commit would cost more than the commit. The relay that gives it has woken its own loops; when
 * its notices woke all of them once more, every second statement of a two-phase message found nothing to do.
 */
export class RelayNotice {
  readonly #pool: pg.Pool
  readonly #relayId: () => string | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(pool: pg.Pool, relayId: () => string | undefined) {
    this.#pool = pool
    this.#relayId = relayId
  }

  /** There is something to do. A notice that is lost is made up for by the relays' own polls. */
  give(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      notifyRelays(this.#pool, this.#relayId()).catch(() => undefined)
    }, GAP_MS).unref()
  }
}
