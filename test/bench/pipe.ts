import { setTimeout as sleep } from 'node:timers/promises'
import { splitShards } from '../../relay/store/log/split-shards.ts'
import type { BenchDatabase, BenchStream, Servers } from './servers.ts'
import { startWorker, type Worker } from './worker.ts'
import type { RelayCommands, RelayConfig } from './workers/relay.ts'

/** A database, a stream, and relays between them. Its end stops the relays and removes both. */
export interface Pipe extends AsyncDisposable {
  readonly database: BenchDatabase
  readonly stream: BenchStream
  readonly relays: readonly Worker<RelayCommands>[]
}

const LOOK_MS = 50
const PATIENCE_MS = 30_000

/**
 * Lays a pipe, with as many shards as relays; resolves when each relay publishes one.
 *
 * @param inboxPrefix - where the relays have their acknowledgements sent, for a listener that wants to see them too
 */
export async function layPipe(servers: Servers, relayCount = 1, inboxPrefix?: string): Promise<Pipe> {
  const [database, stream] = await Promise.all([servers.database(), servers.stream()])
  if (relayCount > 1) await splitShards(database.pool, relayCount)
  const config: RelayConfig = {
    database: database.url,
    nats: servers.nats.url,
    stream: { name: stream.name, subjects: stream.subjects },
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
  }
  const relays = await Promise.all(
    Array.from({ length: relayCount }, () => startWorker<RelayCommands>('relay', config)),
  )
  await owned(database, relayCount)
  return {
    database,
    stream,
    relays,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(relays.map((relay) => relay.stop()))
      await Promise.all([database.drop(), stream.remove()])
    },
  }
}

async function owned({ pool }: BenchDatabase, relayCount: number): Promise<void> {
  for (const until = performance.now() + PATIENCE_MS; performance.now() < until; await sleep(LOOK_MS)) {
    const { rows } = await pool.query('select count(distinct owner)::int as owners from postcommit.position')
    if (rows[0]?.owners === relayCount) return
  }
  throw new Error(`the shards have not come to ${relayCount} relays`)
}
