import type { TransactionKey } from '../../store/transaction/transaction-row.ts'
import type { DecidedMessage } from './hand-over.ts'

/** What is kept at most: some seconds of a busy relay. What is not among them is read from the database. */
const MESSAGES_MAX = 10_000

/**
 * The messages that this relay has prepared a short while ago. Most of them are submitted next, by the same client to the
 * same relay, which then knows that they are handed over by one statement. A memory, never a source: whether a message is
 * still prepared is for the database to say.
 */
export class PreparedHere {
  /** The oldest first. */
  readonly #messages = new Map<string, DecidedMessage>()

  /** How many are kept. */
  get size(): number {
    return this.#messages.size
  }

  /** A message was written. */
  keep(key: TransactionKey, message: DecidedMessage): void {
    // A prepare that is repeated comes here again.
    this.#messages.delete(nameOf(key))
    this.#messages.set(nameOf(key), message)
    const [oldest] = this.#messages.keys()
    if (this.#messages.size > MESSAGES_MAX && oldest !== undefined) this.#messages.delete(oldest)
  }

  /** The message of a key, which is forgotten: it is decided now. */
  take(key: TransactionKey): DecidedMessage | undefined {
    const message = this.#messages.get(nameOf(key))
    this.#messages.delete(nameOf(key))
    return message
  }
}

function nameOf({ tenant, gid }: TransactionKey): string {
  return `${tenant}\0${gid}`
}
