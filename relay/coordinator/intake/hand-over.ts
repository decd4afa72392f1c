import type pg from 'pg'
import type { Logger } from 'pino'
import { failpoint } from 'postcommit/protocol'
import type { Metrics } from '../../observe/metrics.ts'
import { inTransaction } from '../../store/in-transaction.ts'
import type { Queryable } from '../../store/queryable.ts'
import { expediteFollowers, expediteFollowersOf, expediteUndecided } from '../../store/transaction/expedite-keys.ts'
import { type HandedOver, handOver, handOverInOrder, lockKeysOf } from '../../store/transaction/hand-over.ts'
import type { TransactionKey } from '../../store/transaction/transaction-row.ts'
import { GroupCommit } from '../stored/group-commit.ts'

/** What messages are handed over with. */
export interface HandOverOptions {
  readonly source: string
  readonly pool: pg.Pool
  readonly metrics: Metrics
  readonly log: Logger
  /** Messages are in outbox and delivery: the publisher and the dispatcher of this relay look now. */
  readonly onWritten: () => void
  /** Messages that waited for another one are due. */
  readonly onFollowers: () => void
}

/** A decided message: which transaction it is, and whether it has ordering keys. */
export interface DecidedMessage {
  readonly id: string
  readonly isKeyed: boolean
}

/** `written`: in the outbox now. `waiting`: behind an earlier message of a key. `nothing`: it was neither undecided nor waiting. */
export type Handed = 'written' | 'waiting' | 'nothing'

/**
 * Hands decided messages over to outbox and delivery, those that come together in one commit. From there on a two-phase
 * message is what any other message is.
 */
export class HandOver {
  readonly #options: HandOverOptions
  readonly #free: GroupCommit<DecidedMessage, Handed>
  readonly #inOrder: GroupCommit<DecidedMessage, Handed>

  constructor(options: HandOverOptions) {
    this.#options = options
    const group = (write: (ids: readonly string[]) => Promise<Pick<HandedOver, 'written' | 'waiting'>>) =>
      new GroupCommit<DecidedMessage, Handed>({
        keyOf: ({ id }) => id,
        refusal: () => new Error('too many messages wait for the database'),
        write: async (messages) => this.#told(messages, await write(messages.map(({ id }) => id))),
      })
    this.#free = group(async (ids) => ({ written: await handOver(options.pool, ids), waiting: [] }))
    this.#inOrder = group((ids) => this.#writeInOrder(ids))
  }

  /** Hands one over; with others that are handed over at the same time in one commit. */
  add(message: DecidedMessage): Promise<Handed> {
    return (message.isKeyed ? this.#inOrder : this.#free).add(message)
  }

  /** A message with keys was given up: what waited for it is due. */
  async gaveUp(key: TransactionKey): Promise<void> {
    await this.#quietly(async (pool) => {
      if ((await expediteFollowersOf(pool, [key])) > 0) this.#options.onFollowers()
    })
  }

  async #writeInOrder(ids: readonly string[]): Promise<HandedOver> {
    const handed = await inTransaction(this.#options.pool, async (client) => {
      await lockKeysOf(client, ids)
      return await handOverInOrder(client, ids)
    })
    const { keys, waiting } = handed
    void this.#quietly(async (pool) => {
      if (keys.length > 0 && (await expediteFollowers(pool, keys)) > 0) this.#options.onFollowers()
      if (waiting.length > 0) await expediteUndecided(pool, waiting)
    })
    return handed
  }

  #told(messages: readonly DecidedMessage[], { written, waiting }: Pick<HandedOver, 'written' | 'waiting'>): Handed[] {
    const [gone, kept] = [new Set(written), new Set(waiting)]
    if (gone.size > 0) {
      failpoint('coordinator.after_hand_over')
      const { source, metrics } = this.#options
      metrics.transactionsEnded.inc({ source, mode: 'msg', status: 'succeed' }, gone.size)
      this.#options.onWritten()
    }
    return messages.map(({ id }) => (gone.has(id) ? 'written' : kept.has(id) ? 'waiting' : 'nothing'))
  }

  /** What fails here is done again when the messages are due by themselves. */
  async #quietly(work: (pool: Queryable) => Promise<void>): Promise<void> {
    const { pool, source, log } = this.#options
    await work(pool).catch((error: unknown) => {
      log.warn({ source, error: error instanceof Error ? error.message : String(error) }, 'cannot look for followers')
    })
  }
}
