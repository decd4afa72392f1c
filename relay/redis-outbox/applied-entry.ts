import type { EntryOp, Gid } from 'postcommit/protocol'
import type { ReadEntry } from '../engine/redis-batch.ts'

/** An entry of an outbox in Redis that is being applied: it happened once, and this is the only time. */
export interface AppliedEntry {
  readonly gid: Gid
  /** `deduct`, `give_back`, or `script` for a script of the user's own. */
  readonly op: EntryOp
  /** The stock; undefined for a script. */
  readonly key: string | undefined
  /** How many units were taken or came back. */
  readonly qty: number | undefined
  /** What made it happen once, as text. */
  readonly once: string | undefined
  readonly payload: unknown
  /** What a script returned, as text. */
  readonly value: string | undefined
  /** When it happened, by the clock of Redis. */
  readonly at: Date
}

/** What a user's function is given of an entry. */
export function appliedEntry({ gid, op, key, qty, once, payload, raw }: ReadEntry): AppliedEntry {
  return { gid, op, key, qty, once, payload, value: raw.value, at: new Date(Number(raw.id.split('-', 1)[0])) }
}
