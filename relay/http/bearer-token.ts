import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

/** Whether a request carries the token that is demanded; with none demanded each one may pass. */
export function bearsToken({ authorization = '' }: IncomingHttpHeaders, token: string | undefined): boolean {
  if (token === undefined) return true
  const given = /^Bearer (\S+)$/i.exec(authorization)?.[1]
  // Digests have one length, so that comparing takes the same time whatever was given.
  return given !== undefined && timingSafeEqual(sha256(given), sha256(token))
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
