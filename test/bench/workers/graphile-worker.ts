/** graphile-worker with a task that does nothing. */
import { Logger, makeWorkerUtils, type RunnerOptions, run } from 'graphile-worker'
import pg from 'pg'
import {
  batches,
  chosen,
  handling,
  type PeerCommands,
  type PeerConfig,
  type PeerConfiguration,
  peerPayload,
} from '../peer-worker.ts'
import { serve } from '../serve.ts'

const TASK = 'bench'
const SEED_BATCH = 1000
/** Its own performance test switches the line per job off too. */
const logger = new Logger(() => () => undefined)

/** `fastest` is the preset that its documentation on performance gives its figures for, `default` its quick start. */
const OPTIONS: Readonly<Partial<Record<PeerConfiguration, RunnerOptions>>> = {
  fastest: {
    preset: {
      worker: {
        concurrentJobs: 24,
        maxPoolSize: 25,
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
  },
  default: { concurrency: 5, pollInterval: 1000 },
}

serve(async ({ database, configuration }: PeerConfig) => {
  const tools = await makeWorkerUtils({ connectionString: database, logger })
  const pool = new pg.Pool({ connectionString: database, max: 1 })
  await tools.migrate()
  const commands: PeerCommands = {
    async seed(count) {
      for (const batch of batches(count, SEED_BATCH)) {
        await tools.addJobs(batch.map((index) => ({ identifier: TASK, payload: peerPayload(index) })))
      }
      await pool.query('vacuum analyze')
    },
    async drain(count) {
      const { begin, handled, finished } = handling(count)
      const runner = await run({
        ...chosen(OPTIONS, configuration),
        connectionString: database,
        logger,
        noHandleSignals: true,
        taskList: { [TASK]: () => handled() },
      })
      begin()
      try {
        return await finished(async () => {
          const { rows } = await pool.query<{ left: number }>(
            'select count(*)::int as left from graphile_worker._private_jobs',
          )
          return rows[0]?.left ?? Number.NaN
        })
      } finally {
        await runner.stop()
      }
    },
  }
  return { commands, close: () => Promise.all([tools.release(), pool.end()]) }
})
