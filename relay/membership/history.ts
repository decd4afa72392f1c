import type { Logger } from 'pino'
import { doubtOf, type HandedOn, type Seen } from '../engine/whereabouts.ts'
import { selectMissingMessages } from '../store/log/select-missing-messages.ts'
import { noteDoubt, noteWhereabouts } from '../store/member/note-whereabouts.ts'
import type { Queryable } from '../store/queryable.ts'
import { selectInstallation } from '../store/server/select-installation.ts'
import { selectServerFacts } from '../store/server/select-server-facts.ts'

/** What the history of a database is followed with. */
export interface HistoryOptions {
  readonly source: string
  readonly log: Logger
  readonly retentionMs: number
}

/**
 * What this process has seen of a database, over all its connections: how far the write-ahead log was, and what was handed
 * on last. After a fail-over to a standby that had not received everything, and after an older copy of the data was put in
 * its place, the database knows nothing of what is missing. This does.
 */
export class History {
  readonly #options: HistoryOptions
  readonly #handedOn = new Map<number, HandedOn>()
  #seen: Seen | undefined

  constructor(options: HistoryOptions) {
    this.#options = options
  }

  /** The newest message of a shard that was handed on. */
  readonly handedOn = (shard: number, message: HandedOn): void => {
    this.#handedOn.set(shard, message)
  }

  /** Looks again how far the write-ahead log is. */
  async follow(client: Queryable): Promise<void> {
    this.#seen = seenOf(await selectServerFacts(client))
  }

  /**
   * Compares what is remembered, here and in the database, with what is there: after every connecting, before anything is
   * read. What is wrong is told and written down; it stops nothing, because what is there is sound in itself.
   */
  async compare(client: Queryable): Promise<void> {
    const { source, log, retentionMs } = this.#options
    const now = seenOf(await selectServerFacts(client))
    const { timeline } = await selectInstallation(client)
    const handedOn = [...this.#handedOn.values()]
    const missing = handedOn.length === 0 ? [] : await selectMissingMessages(client, handedOn, retentionMs)
    const doubt = doubtOf(
      { timeline: timeline ?? this.#seen?.timeline ?? null, flushed: this.#flushedOn(now) },
      now,
      missing,
    )
    if (doubt !== undefined && (await noteDoubt(client, doubt))) {
      log.error(
        { source, doubt },
        'committed transactions may be missing in the database; what of them was published: postcommit audit',
      )
    }
    await noteWhereabouts(client)
    this.#seen = now
    this.#handedOn.clear()
  }

  /** Lengths can be compared on one timeline only. */
  #flushedOn({ timeline }: Seen): bigint | null {
    return this.#seen?.timeline === timeline ? this.#seen.flushed : null
  }
}

function seenOf({ timeline, flushed }: { readonly timeline: number | null; readonly flushed: string | null }): Seen {
  return { timeline, flushed: flushed === null ? null : BigInt(flushed) }
}
