import { randomBytes } from 'node:crypto'
import type { Gid } from './protocol/gid.ts'

/**
 * Draws a gid: a UUID version 7 (RFC 9562), so that gids sort by the time they were drawn and `inspect` finds a
 * message by its gid without an index on it. 74 bits are random; the time is a hint for people, no decision rests on it.
 */
export function drawGid(nowMs: number = Date.now()): Gid {
  const bytes = randomBytes(16)
  bytes.writeUIntBE(nowMs, 0, 6)
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f)
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f)
  const hex = bytes.toString('hex')
  const groups = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)]
  return groups.join('-') as Gid
}
