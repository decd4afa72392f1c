import { quiet } from './alternate.ts'
import type { PeerCommands, PeerConfig, PeerConfiguration } from './peer-worker.ts'
import type { Servers } from './servers.ts'
import { startWorker } from './worker.ts'

/** What a user would take instead. */
export type PeerName = 'graphile-worker' | 'pg-boss' | 'pg-transactional-outbox'

/** A peer on a database of its own. */
export interface Peer extends AsyncDisposable {
  /** Puts a backlog in, works on it with a handler that does nothing, and says how many a second that were. */
  drain(count: number): Promise<number>
  close(): Promise<void>
}

/** Starts a peer in a process and a database of its own. */
export async function openPeer(
  servers: Servers,
  name: PeerName,
  configuration: PeerConfiguration = 'fastest',
): Promise<Peer> {
  const database = await servers.database({ empty: true })
  const config: PeerConfig = { database: database.url, configuration }
  const worker = await startWorker<PeerCommands>(name, config)
  const close = async () => {
    await worker.stop()
    await database.drop()
  }
  return {
    async drain(count) {
      await worker.call('seed', count)
      await quiet()
      return (await worker.call('drain', count)).perSecond
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
