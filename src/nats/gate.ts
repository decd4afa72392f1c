/** What the server says about its consumer. */
export interface ConsumerProgress {
  /** The newest message it has delivered to anybody. */
  readonly deliveredThrough: number
  /** Up to here every message is settled. */
  readonly settledThrough: number
  /** How many delivered messages are not settled. */
  readonly unsettled: number
}

/**
 * Whether messages with a key may be handled yet.
 *
 * After a start, a lost connection or a killed predecessor, the server may hold messages that were delivered to
 * somebody who will never answer. It brings them back when their wait is over, and sends newer ones of the same key
 * before that. So the gate closes, and opens when every message that was under way is here or settled. It is counted:
 * the server tells how many are unsettled and through which sequence, we know which of those we have.
 *
 * The counts err on the side of waiting: what we settled while the server was counting is missed, and the next look
 * corrects it.
 */
export interface Gate {
  readonly isOpen: boolean
  close(): void
  /**
   * Takes a look at the server's counts.
   * @param ours - how many unsettled messages up to `deliveredThrough` are here
   */
  look(progress: ConsumerProgress, ours: number): void
  /** A message came that was not here before. */
  arrived(sequence: number): void
  /** Waited long enough: whatever is still elsewhere is with a live subscription, and order across those is not kept. */
  open(): void
}

/** Open. */
export function createGate(): Gate {
  let isOpen = true
  let through = 0
  let elsewhere = 0
  // What was under way when the gate closed; later looks move `through` on, but this is what it waits for.
  let inherited: number | undefined
  return {
    get isOpen() {
      return isOpen
    },
    close() {
      isOpen = false
      inherited = undefined
      through = 0
      elsewhere = 0
    },
    look({ deliveredThrough, settledThrough, unsettled }, ours) {
      if (isOpen) return
      inherited ??= deliveredThrough
      through = deliveredThrough
      elsewhere = unsettled - ours
      isOpen = elsewhere <= 0 || settledThrough >= inherited
    },
    arrived(sequence) {
      if (isOpen || inherited === undefined || sequence > through) return
      elsewhere -= 1
      isOpen = elsewhere <= 0
    },
    open() {
      isOpen = true
    },
  }
}
