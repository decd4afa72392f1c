import type { Gid } from './protocol/gid.ts'

/** A commit that stands: its messages will be delivered. */
export interface Committed<T> {
  readonly gid: Gid
  readonly duplicated: false
  /** What the work returned. */
  readonly value: T
}

/** A commit that had been made before, with the same gid and messages; this time nothing was written. */
export interface Duplicated {
  readonly gid: Gid
  readonly duplicated: true
  readonly value?: never
}
