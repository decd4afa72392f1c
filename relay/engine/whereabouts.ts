/** What tells one database, and one history of it, from another. */
export interface Whereabouts {
  readonly systemIdentifier: string
  /** Null: no relay has taken part yet. */
  readonly databaseOid: string | null
  /** Of the write-ahead log; null on a standby, or as long as no relay has taken part. */
  readonly timeline: number | null
}

/**
 * Where a log was written, if not here: its positions and the xids of its rows mean nothing then. Undefined: it was
 * written here.
 */
export function originOf(remembered: Whereabouts, seen: Whereabouts): string | undefined {
  if (remembered.systemIdentifier !== seen.systemIdentifier) return 'another PostgreSQL cluster'
  if (remembered.databaseOid !== null && remembered.databaseOid !== seen.databaseOid) return 'another database'
  return undefined
}

/** A message that was handed on. */
export interface HandedOn {
  readonly id: string
  readonly gid: string
  readonly branch: number
  readonly createdMs: string
}

/** What a relay has seen of a database over its connections. */
export interface Seen {
  readonly timeline: number | null
  /** How far the write-ahead log was on disk, in bytes. */
  readonly flushed: bigint | null
}

/**
 * Why committed transactions may be missing in a database that was connected to again; undefined: for no reason.
 *
 * A primary never loses what is on its disk, so a log that is shorter on the same timeline is another copy of the data.
 * A timeline changes when a standby becomes the primary, and it may not have received all; a switch that waited for it
 * looks the same, so that is a doubt and no more.
 */
export function doubtOf(remembered: Seen, now: Seen, missing: readonly HandedOn[]): string | undefined {
  const reasons: string[] = []
  if (remembered.timeline !== null && now.timeline !== null && remembered.timeline !== now.timeline) {
    reasons.push(`a standby was promoted (timeline ${remembered.timeline} to ${now.timeline})`)
  } else if (remembered.flushed !== null && now.flushed !== null && now.flushed < remembered.flushed) {
    reasons.push('the write-ahead log is shorter than it was: an older copy of the data serves')
  }
  const [first] = missing
  if (first !== undefined) {
    const more = missing.length > 1 ? ` and ${missing.length - 1} more` : ''
    reasons.push(`what was handed on is not there any more: ${first.gid}:${first.branch}${more}`)
  }
  return reasons.length === 0 ? undefined : reasons.join('; ')
}
