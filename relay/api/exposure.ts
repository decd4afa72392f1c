import { PostcommitError } from 'postcommit/protocol'
import { isLoopback } from '../http/loopback.ts'

/** Where the API is served unless it is said. */
export const API_HOST = '127.0.0.1'
export const API_PORT = 8484

/** What is said about where to listen, and to whom. */
interface Exposure {
  readonly host?: string
  readonly port?: number
  readonly auth?: 'keys' | 'none'
}

/**
 * Refuses to listen where others than this host could decide over transactions without a key.
 * @throws `POSTCOMMIT_API_EXPOSED`.
 */
export function checkApiExposure({ host = API_HOST, port = API_PORT, auth = 'keys' }: Exposure): void {
  if (auth === 'keys' || isLoopback(host)) return
  throw new PostcommitError('POSTCOMMIT_API_EXPOSED', { address: `${host}:${port}` })
}
