import type { IncomingHttpHeaders } from 'node:http'
import { PostcommitError } from 'postcommit/protocol'
import { isLoopback } from '../http/loopback.ts'

/** What a server without keys goes by. */
export interface LocalRules {
  /** Whether a network or a proxy keeps others out, so that requests may come under any name. */
  readonly allowExposed: boolean
}

/**
 * Refuses what a web page sends to a server without keys, whose address is the only lock. A browser of this host sends
 * it for any page that is open: under a name of the page's own that leads to 127.0.0.1, which the Host header says, or
 * straight here, which the Origin header says, or, where a browser sends none (an image, a link that is followed), its
 * Sec-Fetch-Site. Programs send neither of the last two.
 * @throws `POSTCOMMIT_FORBIDDEN`.
 */
export function checkLocal(headers: IncomingHttpHeaders, { allowExposed }: LocalRules): void {
  const { host = '', origin } = headers
  if (!allowExposed && !isLoopback(host.replace(/:\d+$/, ''))) {
    throw forbidden(`without keys requests go to a loopback address, and the Host header of this one names another`)
  }
  const site = headers['sec-fetch-site']
  const isOfPage = origin === undefined ? site === 'cross-site' || site === 'same-site' : !isOfThisHost(origin)
  if (isOfPage) throw forbidden('without keys a web page may ask only if its own address is a loopback one')
}

function isOfThisHost(origin: string): boolean {
  return URL.canParse(origin) && isLoopback(new URL(origin).hostname)
}

function forbidden(reason: string): PostcommitError<'POSTCOMMIT_FORBIDDEN'> {
  return new PostcommitError('POSTCOMMIT_FORBIDDEN', { reason })
}
