/** A PostgreSQL snapshot: which transactions' effects were visible at some moment (`pg_snapshot`, `xmin:xmax:xip…`). */
export interface Snapshot {
  /** Everything below has ended. */
  readonly xmin: bigint
  /** Nothing at or above was visible. */
  readonly xmax: bigint
  /** Under way in between, so not visible either. */
  readonly xip: readonly bigint[]
}

/** Parses the text form of a `pg_snapshot`. */
export function parseSnapshot(text: string): Snapshot {
  const match = /^(\d+):(\d+):([\d,]*)$/.exec(text)
  if (match?.[1] === undefined || match[2] === undefined) throw new Error(`not a pg_snapshot: ${text}`)
  const xip = match[3] === undefined || match[3] === '' ? [] : match[3].split(',').map(BigInt)
  return { xmin: BigInt(match[1]), xmax: BigInt(match[2]), xip }
}

/** The sequence stood at `low` before the xid `after` was drawn. */
interface Mark {
  readonly low: bigint
  readonly after: bigint
}

/**
 * Lower bounds for ids: from which id on the rows can lie that a saved snapshot does not show.
 *
 * A transaction draws its xid before its ids. So if the sequence stood at `low` before some xid `b` was drawn, every
 * transaction with an xid above `b` has ids above `low` only. Rows that a snapshot does not show belong to xids at or
 * above its xmin; any mark with `b < xmin` bounds them. The newest such mark bounds them best, which is what prunes
 * the partitions of a long log.
 *
 * The xmax of a snapshot must not stand in for `b`: it is one above the newest xid that has *ended*, and
 * transactions above it may be under way with ids drawn long ago.
 */
export class LowBounds {
  #best: bigint
  #marks: Mark[] = []

  /** @param low - the bound that was saved with the position */
  constructor(low: bigint) {
    this.#best = low
  }

  /** Remembers that the sequence stood at `low` before xid `after` was drawn; marks come in rising order. */
  add(low: bigint, after: bigint): void {
    // One mark for every 256 xids is fine enough for partitions of a million ids, and keeps the list short behind a
    // transaction that stays open for hours.
    const newest = this.#marks.at(-1)
    if (newest !== undefined && after - newest.after < 256n && this.#marks.length > 1) this.#marks.pop()
    this.#marks.push({ low, after })
  }

  /** The best bound for what `snapshot` does not show; rises with the snapshots it is asked for. */
  below(snapshot: Snapshot): bigint {
    while (this.#marks[0] !== undefined && this.#marks[0].after < snapshot.xmin) {
      this.#best = this.#marks[0].low > this.#best ? this.#marks[0].low : this.#best
      this.#marks.shift()
    }
    return this.#best
  }
}
