import { randomUUID } from 'node:crypto'
import type { Gid } from './protocol/gid.ts'

/**
 * Draws a gid: a UUID version 7 (RFC 9562), so that gids sort by the time they were drawn and `inspect` finds a
 * message by its gid without an index on it. 74 bits are random; the time is a hint for people, no decision rests on it.
 *
 * The random part is that of a version 4, which Node draws for many at a time: 1 us instead of the 4 to 11 us that
 * a call of `randomBytes` costs.
 */
export function drawGid(nowMs: number = Date.now()): Gid {
  const time = nowMs.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}` as Gid
}
