import type pg from 'pg'
import { failpoint, PostcommitError } from 'postcommit/protocol'
import { errorText } from '../engine/error-text.ts'
import {
  Blame,
  blame,
  isolate,
  type ParkedEntry,
  type RawEntry,
  type ReadEntry,
  readBatch,
} from '../engine/redis-batch.ts'
import { applyEntries } from '../store/redis-outbox/apply-entries.ts'
import { insertEntryMessages } from '../store/redis-outbox/insert-entry-messages.ts'
import { parkEntries } from '../store/redis-outbox/park-entries.ts'
import { type AppliedEntry, appliedEntry } from './applied-entry.ts'

/**
 * Writes what follows from new entries, in the transaction that notes them as applied: insert the orders and nothing
 * else. It must not commit, and what it throws rolls everything back. `entries` are in the order in which they happened.
 */
export type WriteEntries = (tx: pg.ClientBase, entries: readonly AppliedEntry[]) => Promise<unknown>

/** What became of a batch. */
export interface WrittenBatch {
  /** How many were applied now, and how many had been before. */
  readonly applied: number
  readonly repeated: number
  readonly parked: number
  readonly messages: number
  /** Why the sale cannot go on: more was sold than there is. */
  readonly overdrawn: string | undefined
}

/** How batches are written. */
export interface BatchWriterOptions {
  readonly name: string
  /** Who is named as the actor of what is set aside. */
  readonly actor: string
  readonly write: WriteEntries | undefined
}

const SQL_STATE = /^[0-9A-Z]{5}$/
const REASON_CHARACTERS = 500
/** So often a batch of which nothing can be written is tried before its first entry is set aside. */
const ROUNDS_MAX = 5

/** Nothing of a batch could be written; perhaps all of it is broken, perhaps what writes it. */
export class NothingWritten extends Error {
  override readonly name = 'NothingWritten'
}

/** Writes batches of entries through one session, each in one transaction. */
export class BatchWriter {
  readonly #options: BatchWriterOptions
  readonly #session: pg.Client
  #rounds = 0

  constructor(session: pg.Client, options: BatchWriterOptions) {
    this.#session = session
    this.#options = options
  }

  /**
   * Writes a batch: all of it in one transaction, or what can be written of it in several, and sets the rest aside.
   * @throws what is not to be blamed on an entry: then nothing is known of those that are not written yet.
   */
  async write(raws: readonly RawEntry[]): Promise<WrittenBatch> {
    const { entries, broken } = readBatch(raws, this.#options.write !== undefined)
    const total = { fresh: 0, parked: 0, messages: 0 }
    const { failed } = await isolate(
      entries,
      async (part) => {
        const written = await this.#transact(part)
        total.fresh += written.fresh
        total.parked += written.parked
        total.messages += written.messages
      },
      (error) => isOverdrawn(error) || blame(sqlStateOf(error)) === Blame.entry,
    )
    const overdrawn = failed.filter(({ error }) => isOverdrawn(error))
    const refused = failed.filter(({ error }) => !isOverdrawn(error))
    if (refused.length > 0) this.#requireEvidence(refused.length === entries.length, refused[0]?.error)
    this.#rounds = 0
    const hopeless = [
      ...broken,
      ...overdrawn.map(({ item }) => ({ raw: item.raw, entry: item, reason: this.#notThere(item) })),
      ...refused.map(({ item, error }) => ({ raw: item.raw, entry: item, reason: `write() failed: ${textOf(error)}` })),
    ]
    const parked = total.parked + (await this.#park(hopeless))
    return {
      applied: total.fresh,
      repeated: raws.length - total.fresh - hopeless.length - total.parked,
      parked,
      messages: total.messages,
      overdrawn: overdrawn.length === 0 ? undefined : `more was sold in Redis than there is: it has lost what it sold`,
    }
  }

  /**
   * An entry is set aside when others beside it could be written. If none could, what writes them is more likely broken
   * than each of them, and thousands would be set aside within seconds; so it is tried again, and then one goes.
   */
  #requireEvidence(isEverything: boolean, error: unknown): void {
    if (!isEverything) return
    this.#rounds += 1
    if (this.#rounds < ROUNDS_MAX) throw new NothingWritten(textOf(error), { cause: error })
  }

  /**
   * Writes entries in one transaction, or none of them.
   * @throws what kept it from them; also if one of them can only be set aside.
   */
  async apply(entries: readonly ReadEntry[]): Promise<void> {
    await this.#transact(entries, ([first]) => {
      if (first !== undefined) throw new Error(first.reason)
    })
  }

  async #transact(
    entries: readonly ReadEntry[],
    onHopeless?: (parked: readonly ParkedEntry[]) => void,
  ): Promise<{ fresh: number; parked: number; messages: number }> {
    const { name, write } = this.#options
    const client = this.#session
    // Not waited for: the statement behind it is on its way meanwhile, and fails with it.
    const begun = client.query('begin')
    begun.catch(() => undefined)
    try {
      const { fresh, refused, orphaned } = await applyEntries(client, name, entries)
      await begun
      const hopeless = [
        ...refused.map((entry) => ({ raw: entry.raw, entry, reason: this.#refusal(entry) })),
        ...orphaned.map((entry) => ({ raw: entry.raw, entry, reason: 'its deduction has not been applied' })),
      ]
      onHopeless?.(hopeless)
      const parked = await this.#park(hopeless)
      if (fresh.length > 0) await write?.(client, fresh.map(appliedEntry))
      const messages = await insertEntryMessages(client, fresh)
      failpoint('redis_outbox.before_commit')
      const { command } = await client.query('commit')
      // A statement of write() failed and it has swallowed the error.
      if (command !== 'COMMIT') throw new PostcommitError('POSTCOMMIT_TX_ABORTED')
      return { fresh: fresh.length, parked, messages }
    } catch (error) {
      await client.query('rollback')
      throw error
    }
  }

  async #park(hopeless: readonly ParkedEntry[]): Promise<number> {
    return hopeless.length === 0
      ? 0
      : await parkEntries(this.#session, this.#options.name, this.#options.actor, hopeless)
  }

  #refusal(entry: ReadEntry): string {
    return lost(
      this.#options.name,
      entry,
      'it was stopped, was opened anew since, or was never opened in this database',
    )
  }

  #notThere(entry: ReadEntry): string {
    return lost(this.#options.name, entry, 'more was sold in Redis than the database has')
  }
}

function lost(name: string, { key = '' }: ReadEntry, reason: string): string {
  return errorText(new PostcommitError('POSTCOMMIT_STOCK_STORE_LOST', { name, key, reason }).message, REASON_CHARACTERS)
}

function textOf(error: unknown): string {
  return errorText(error instanceof Error ? error.message : String(error), REASON_CHARACTERS)
}

function isOverdrawn(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'constraint' in error && error.constraint === 'redis_stock_sold'
}

/** Of an error that PostgreSQL itself has sent. */
function sqlStateOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  if ('severity' in error && 'code' in error && SQL_STATE.test(String(error.code))) return String(error.code)
  return undefined
}
