import { alternate, type Contender } from '../alternate.ts'
import { drainBacklog } from '../backlog.ts'
import type { Case } from '../case.ts'
import { read } from '../measurement.ts'
import type { PeerConfiguration } from '../peer-worker.ts'
import { openPeer, type Peer, type PeerName } from '../peers.ts'
import { layPipe } from '../pipe.ts'

const OURS = 'postcommit'
const QUICK_MOST = 15_000

/** Who works on how large a backlog: so large that it takes a second or more, or as large as one can wait for. */
const PEERS: readonly (readonly [name: PeerName, configuration: PeerConfiguration, count: number, as: string])[] = [
  ['graphile-worker', 'fastest', 60_000, 'graphile-worker, local queue and batched completion'],
  ['graphile-worker', 'default', 4000, 'graphile-worker, as in its quick start'],
  ['pg-boss', 'loops', 60_000, 'pg-boss, two loops of fetch and complete, 3,000 each'],
  ['pg-boss', 'fastest', 40_000, 'pg-boss, a loop of fetch and complete, 1,000 each'],
  ['pg-boss', 'work', 20_000, 'pg-boss, four workers, 1,000 each'],
  ['pg-boss', 'default', 3, 'pg-boss, as in its README'],
  ['pg-transactional-outbox', 'fastest', 2000, 'pg-transactional-outbox, 100 each, every 50 ms'],
  ['pg-transactional-outbox', 'default', 200, 'pg-transactional-outbox, as in its README'],
]

/** All of them, in the configurations that a user has to choose from. */
export const peers: Case = {
  name: 'peers',
  title: 'What others drain, to no broker',
  onlyInFull: true,
  caveats: [
    'The handlers of the others do nothing, and they may do that in any order; postcommit publishes to JetStream, in order, and waits until that has acknowledged.',
    'Each works on a backlog of its own size, because the fastest is some ten thousand times as fast as the slowest. Their time runs from when they are connected until their tables say that nothing is left.',
    'pg-boss in its README takes one job every two seconds; the time of three jobs has two such pauses in it.',
    'pg-transactional-outbox can read the log of PostgreSQL instead of polling. That needs wal_level=logical, which would make every commit of all others write more; it is left out.',
  ],
  async run(bench) {
    await using pipe = await layPipe(bench.servers)
    const opened: Peer[] = []
    try {
      const count = bench.scale(100_000, 40_000)
      const backlog = { database: pipe.database, stream: pipe.stream, count, bytes: 200 }
      const contenders: Record<string, Contender> = {
        [OURS]: async () => (1000 * count) / (await drainBacklog(backlog)),
      }
      for (const [name, configuration, most, as] of PEERS) {
        const peer = await openPeer(bench.servers, name, configuration)
        opened.push(peer)
        contenders[as] = () => peer.drain(bench.scale(most, Math.min(most, QUICK_MOST)))
      }
      for (const contender of Object.values(contenders)) await contender()
      const samples = await alternate(contenders, Math.min(3, bench.rounds), bench.progress)
      const others = PEERS.map(([, , , as]) => as)
      return [read(samples, { name: 'drain of a backlog of 200 B', unit: 'messages/s', ours: OURS, peers: others })]
    } finally {
      await Promise.all(opened.map((peer) => peer.close()))
    }
  },
}
