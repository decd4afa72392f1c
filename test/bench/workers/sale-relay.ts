/** Our relay, with a function that makes orders of what was sold in Redis. */
import { createRelay } from '@postcommit/relay'
import { pino } from 'pino'
import { createClient } from 'redis'
import { serve } from '../serve.ts'

export interface SaleRelayConfig {
  readonly redis: string
  readonly database: string
  /** Of the outbox in Redis. */
  readonly name: string
}

export type SaleRelayCommands = Record<never, never>

serve(async ({ redis, database, name }: SaleRelayConfig) => {
  const client = createClient({ url: redis })
  await client.connect()
  const relay = createRelay({
    db: database,
    log: pino({ level: 'error' }, pino.destination(2)),
    redisOutboxes: [
      {
        redis: client,
        name,
        write: (tx, entries) =>
          tx.query('insert into orders (gid, user_id) select gid, 1 from unnest($1::text[]) gid', [
            entries.map(({ gid }) => gid),
          ]),
      },
    ],
  })
  await relay.start()
  return {
    commands: {},
    async close() {
      await relay.stop()
      client.destroy()
    },
  }
})
