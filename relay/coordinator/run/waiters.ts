import { isFinal, type Status } from '../../engine/transaction/transaction.ts'
import type { Queryable } from '../../store/queryable.ts'
import { selectTransactionStates } from '../../store/transaction/select-transaction-states.ts'
import type { TransactionKey } from '../../store/transaction/transaction-row.ts'

/** How a transaction ended. */
export interface Ending {
  readonly status: Status
  readonly rollbackReason: string | undefined
}

/** Somebody who waits. */
export interface Wait {
  /** How it ended; undefined: not in time. */
  readonly ended: Promise<Ending | undefined>
  /** The answer does not matter any more. */
  cancel(): void
}

interface Waiter extends TransactionKey {
  readonly resolve: (ending: Ending | undefined) => void
  readonly since: number
  /** Monotonic. */
  readonly untilMs: number
  readonly round: boolean
}

const POLL_MS = 200

/**
 * Who waits for the end of a transaction. What this relay ends is told at once; what another one ends is found by
 * asking the database for all that are waited for, in one statement, five times a second.
 */
export class Waiters {
  readonly #client: Queryable
  readonly #waiting = new Map<string, Set<Waiter>>()
  #timer: NodeJS.Timeout | undefined
  #isPolling = false

  constructor(client: Queryable) {
    this.#client = client
  }

  /** Waits for the end of a transaction, for at most `ms`; `round`: only until it is clear that it does not end in that time. */
  wait({ tenant, gid }: TransactionKey, ms: number, round = false): Wait {
    let cancel = (): void => undefined
    const ended = new Promise<Ending | undefined>((resolve) => {
      const key = keyOf({ tenant, gid })
      const done = (ending: Ending | undefined): void => {
        clearTimeout(timer)
        const others = this.#waiting.get(key)
        others?.delete(waiter)
        if (others?.size === 0) this.#waiting.delete(key)
        resolve(ending)
      }
      const timer = setTimeout(() => done(undefined), ms)
      cancel = () => done(undefined)
      const since = performance.now()
      const waiter: Waiter = { tenant, gid, resolve: done, since, untilMs: since + ms, round }
      const others = this.#waiting.get(key)
      if (others === undefined) this.#waiting.set(key, new Set([waiter]))
      else others.add(waiter)
      this.#timer ??= setInterval(() => void this.#poll(), POLL_MS).unref()
    })
    return { ended, cancel }
  }

  /** A transaction has ended. */
  tell(key: TransactionKey, ending: Ending): void {
    for (const waiter of [...(this.#waiting.get(keyOf(key)) ?? [])]) waiter.resolve(ending)
  }

  /** A transaction was put aside, and is looked at again in `ms`. */
  put(key: TransactionKey, ms: number): void {
    for (const waiter of [...(this.#waiting.get(keyOf(key)) ?? [])]) {
      if (waiter.round && performance.now() + ms >= waiter.untilMs) waiter.resolve(undefined)
    }
  }

  /** Answers everybody that it has not ended yet. */
  close(): void {
    clearInterval(this.#timer)
    for (const waiters of [...this.#waiting.values()]) for (const waiter of [...waiters]) waiter.resolve(undefined)
  }

  async #poll(): Promise<void> {
    if (this.#waiting.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
      return
    }
    if (this.#isPolling) return
    this.#isPolling = true
    try {
      const before = performance.now() - POLL_MS
      const keys = [...this.#waiting.values()].flatMap((waiters) => {
        const [first] = waiters
        return first !== undefined && first.since < before ? [{ tenant: first.tenant, gid: first.gid }] : []
      })
      if (keys.length === 0) return
      const states = await selectTransactionStates(this.#client, keys)
      for (const [index, state] of states.entries()) {
        const key = keys[index]
        if (key === undefined || state === undefined || !isFinal(state.status)) continue
        this.tell(key, { status: state.status, rollbackReason: state.rollbackReason ?? undefined })
      }
    } catch {
      // The database is away; the next poll asks again, and whoever waits is answered in time either way.
    } finally {
      this.#isPolling = false
    }
  }
}

function keyOf({ tenant, gid }: TransactionKey): string {
  return `${tenant}\0${gid}`
}
