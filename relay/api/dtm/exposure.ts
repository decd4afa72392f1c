import { PostcommitError } from 'postcommit/protocol'
import { isLoopback } from '../../http/loopback.ts'

/** Where DTM's protocol is served unless it is said. */
export const DTM_HOST = '127.0.0.1'

/** What is said about where to listen. */
interface Exposure {
  readonly host?: string
  readonly allowExposed?: boolean
}

/**
 * Refuses to listen where others than this host could hand in transactions, unless that is wanted.
 * @throws `POSTCOMMIT_DTM_EXPOSED`.
 */
export function checkDtmExposure({ host = DTM_HOST, allowExposed = false }: Exposure): void {
  if (!isLoopback(host) && !allowExposed) throw new PostcommitError('POSTCOMMIT_DTM_EXPOSED', { address: host })
}
