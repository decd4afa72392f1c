import type { NewTransaction } from '../store/transaction/insert-transactions.ts'
import type { TransactionKey } from '../store/transaction/transaction-row.ts'

/** A message as this relay has written it. */
export interface PreparedMessage {
  readonly id: string
  readonly content: NewTransaction
}

/** What is kept at most: some seconds of a busy relay. Who is not among them is read from the database. */
const MESSAGES_MAX = 4000
const BYTES_MAX = 16 << 20

/**
 * The messages that this relay has prepared a short while ago. Most of them are submitted next, by the same client to the
 * same relay, which then need not read what it has just written. A memory, never a source: whether a message is still
 * prepared is for the database to say, and whoever is forgotten here is read there.
 */
export class PreparedHere {
  /** The oldest first. */
  readonly #messages = new Map<string, PreparedMessage>()
  #bytes = 0

  /** How many are kept. */
  get size(): number {
    return this.#messages.size
  }

  /** A message was written. One with a key is not kept: who comes before it has to be asked in any case. */
  keep(message: PreparedMessage): void {
    const { content } = message
    if (content.mode !== 'msg' || content.key !== undefined) return
    // A prepare that is repeated comes here again.
    this.take(content)
    this.#messages.set(nameOf(content), message)
    this.#bytes += bytesOf(content)
    for (const oldest of this.#messages.values()) {
      if (this.#messages.size <= MESSAGES_MAX && this.#bytes <= BYTES_MAX) break
      this.take(oldest.content)
    }
  }

  /** The message of a key, which is forgotten: it is decided now. */
  take(key: TransactionKey): PreparedMessage | undefined {
    const name = nameOf(key)
    const message = this.#messages.get(name)
    if (message === undefined) return undefined
    this.#messages.delete(name)
    this.#bytes -= bytesOf(message.content)
    return message
  }
}

function nameOf({ tenant, gid }: TransactionKey): string {
  return `${tenant}\0${gid}`
}

function bytesOf({ operations }: NewTransaction): number {
  return operations.reduce((sum, { payload, body }) => sum + (payload?.length ?? 0) + (body?.length ?? 0), 1000)
}
