/** pg-transactional-outbox, its polling listener, with a publisher that does nothing. */
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import {
  DatabaseSetup,
  getDisabledLogger,
  initializeMessageStorage,
  initializePollingMessageListener,
  type PollingListenerConfig,
  type PollingMessageStrategies,
} from 'pg-transactional-outbox'
import {
  chosen,
  handling,
  type PeerCommands,
  type PeerConfig,
  type PeerConfiguration,
  peerPayload,
} from '../peer-worker.ts'
import { serve } from '../serve.ts'

const NEXT_MESSAGES = 'next_outbox_messages'
const FAST_BATCH = 100

/** Protection against messages that crash the process is off, as in what its documentation shows for an outbox. */
const BASE: PollingListenerConfig['settings'] = {
  dbSchema: 'public',
  dbTable: 'outbox',
  nextMessagesFunctionName: NEXT_MESSAGES,
  enableMaxAttemptsProtection: false,
  enablePoisonousMessageProtection: false,
}

const TUNING: Readonly<
  Partial<
    Record<PeerConfiguration, { readonly settings: object; readonly strategies?: Partial<PollingMessageStrategies> }>
  >
> = {
  fastest: {
    settings: { nextMessagesBatchSize: FAST_BATCH, nextMessagesPollingIntervalInMs: 50, nextMessagesLockInMs: 1000 },
    // The default takes one message at a time for the first hundred calls.
    strategies: { batchSizeStrategy: () => Promise.resolve(FAST_BATCH) },
  },
  default: { settings: {} },
}

serve(async ({ database, configuration }: PeerConfig) => {
  const { settings, strategies } = chosen(TUNING, configuration)
  const config: PollingListenerConfig = {
    outboxOrInbox: 'outbox',
    dbListenerConfig: { connectionString: database },
    settings: { ...BASE, ...settings },
  }
  // It logs each row that two of its own polls wanted as an error.
  const logger = getDisabledLogger()
  const store = initializeMessageStorage(config, logger)
  const pool = new pg.Pool({ connectionString: database, max: 1 })
  await setUp(pool)
  const commands: PeerCommands = {
    async seed(count) {
      const client = await pool.connect()
      await client.query('truncate outbox')
      await client.query('begin')
      for (let index = 0; index < count; index += 1) await store(message(index), client)
      await client.query('commit')
      await client.query('vacuum analyze')
      client.release()
    },
    async drain(count) {
      const { begin, handled, finished } = handling(count)
      const handler = { handle: () => Promise.resolve(handled()) }
      begin()
      const [stop] = initializePollingMessageListener(config, handler, logger, strategies)
      try {
        return await finished(async () => {
          const { rows } = await pool.query<{ left: number }>(
            'select count(*)::int as left from outbox where processed_at is null',
          )
          return rows[0]?.left ?? Number.NaN
        })
      } finally {
        await stop()
      }
    },
  }
  return { commands, close: () => pool.end() }
})

/** Messages that need no order among them, as those of the others. */
function message(index: number) {
  const concurrency = 'parallel' as const
  const type = { aggregateType: 'bench', aggregateId: String(index), messageType: 'bench' }
  return { id: randomUUID(), ...type, concurrency, payload: peerPayload(index) }
}

async function setUp(pool: pg.Pool): Promise<void> {
  const table = { outboxOrInbox: 'outbox', database: '', schema: 'public', table: 'outbox', listenerRole: '' } as const
  const names = { ...table, nextMessagesName: NEXT_MESSAGES }
  await pool.query(DatabaseSetup.dropAndCreateTable(names))
  await pool.query(DatabaseSetup.createPollingFunction(names))
  await pool.query(DatabaseSetup.setupPollingIndexes(names))
}
