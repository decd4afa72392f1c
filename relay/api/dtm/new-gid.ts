import { randomBytes } from 'node:crypto'

/** Draws a gid as long as DTM's, of characters that the whole of this project takes. */
export function newGid(): string {
  return randomBytes(16).toString('base64url')
}
