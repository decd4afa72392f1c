import { connect } from 'node:net'
import type { RelayConfig } from '../../config/schema.ts'
import { isLoopback } from '../../http/loopback.ts'
import { reasonOf } from '../shell/sources.ts'
import { type Check, checksAbout } from './check.ts'

const CONNECT_TIMEOUT_MS = 3000

/** Whether the HTTP destinations can be connected to from here. Nothing is sent to them. */
export async function checkDestinations({ destinations }: RelayConfig): Promise<readonly Check[]> {
  const checks = Object.entries(destinations).map(async ([name, { url, secrets }]) => {
    const { ok, warn, fail } = checksAbout(`destination ${name}`)
    const { protocol, hostname, port } = new URL(url)
    const problem = await tryConnect(
      hostname.replace(/^\[|\]$/g, ''),
      Number(port || (protocol === 'https:' ? 443 : 80)),
    )
    return [
      problem === undefined
        ? ok('reachable', url)
        : fail('reachable', `${url}: ${problem}`, 'Messages for it wait; check the address and whether it runs.'),
      secrets.length > 0
        ? ok('signature', 'calls are signed')
        : warn(
            'signature',
            'calls are not signed',
            `Add a secret, so that the receiver can tell them from forged ones.`,
          ),
      ...(protocol === 'http:' && !isLoopback(hostname)
        ? [warn('encryption', 'calls are not encrypted', 'Use https, unless the network is trusted.')]
        : []),
    ]
  })
  return (await Promise.all(checks)).flat()
}

/** Why no connection comes about, or undefined. */
function tryConnect(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: CONNECT_TIMEOUT_MS })
    const end = (problem: string | undefined): void => {
      socket.destroy()
      resolve(problem)
    }
    socket.once('connect', () => end(undefined))
    socket.once('timeout', () => end(`no answer within ${CONNECT_TIMEOUT_MS} ms`))
    socket.once('error', (error) => end(reasonOf(error)))
  })
}
