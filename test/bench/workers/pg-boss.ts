/** pg-boss with a handler that does nothing. */
import PgBoss from 'pg-boss'
import {
  batches,
  chosen,
  type Handling,
  handling,
  type PeerCommands,
  type PeerConfig,
  type PeerConfiguration,
  peerPayload,
} from '../peer-worker.ts'
import { serve } from '../serve.ts'

const QUEUE = 'bench'
const BATCH = 1000
/** Twice a second is as often as it allows. */
const WORK = { workers: 4, options: { batchSize: BATCH, pollingIntervalSeconds: 0.5 } }

/** Starts to work on the queue; what it returns ends that. */
type Start = (boss: PgBoss, handling: Handling) => Promise<() => Promise<unknown>>

/** `fastest` and `loops` ask for jobs as soon as some are completed; `work` and `default` leave that to its workers. */
const START: Readonly<Record<PeerConfiguration, Start>> = {
  fastest: loops(1, BATCH),
  loops: loops(2, 3 * BATCH),
  work: async (boss, { handled }) => {
    for (let worker = 0; worker < WORK.workers; worker += 1) {
      await boss.work(QUEUE, WORK.options, (jobs) => Promise.resolve(handled(jobs.length)))
    }
    return () => boss.offWork(QUEUE)
  },
  default: async (boss, { handled }) => {
    await boss.work(QUEUE, (jobs) => Promise.resolve(handled(jobs.length)))
    return () => boss.offWork(QUEUE)
  },
}

function loops(count: number, batchSize: number): Start {
  return (boss, { handled }) => {
    const loop = async () => {
      for (;;) {
        const jobs = await boss.fetch(QUEUE, { batchSize })
        if (jobs.length === 0) return
        handled(jobs.length)
        const ids = jobs.map(({ id }) => id)
        await boss.complete(QUEUE, ids)
      }
    }
    const ended = Promise.all(Array.from({ length: count }, loop))
    return Promise.resolve(() => ended)
  }
}

serve(async ({ database, configuration }: PeerConfig) => {
  const boss = new PgBoss(database)
  boss.on('error', (error) => console.error(error))
  await boss.start()
  const db = boss.getDb()
  await boss.createQueue(QUEUE)
  const commands: PeerCommands = {
    async seed(count) {
      // What it has completed it keeps; a round must not pay for those before it.
      await boss.clearStorage()
      for (const batch of batches(count, BATCH)) {
        await boss.insert(batch.map((index) => ({ name: QUEUE, data: peerPayload(index) })))
      }
      await db.executeSql('vacuum analyze', [])
    },
    async drain(count) {
      const handled = handling(count)
      handled.begin()
      const stop = await chosen(START, configuration)(boss, handled)
      try {
        return await handled.finished(() => boss.getQueueSize(QUEUE, { before: 'completed' }))
      } finally {
        await stop()
      }
    },
  }
  return { commands, close: () => boss.stop({ graceful: false }) }
})
