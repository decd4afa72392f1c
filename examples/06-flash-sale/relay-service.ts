/** The relay, with the function that makes orders of what was sold. Embedded: the function is the service's own. */
import { createRelay } from '@postcommit/relay'
import { pino } from 'pino'
import { createClient } from 'redis'
import { ORDERS, ordersOf, RECONNECT_MS, RETURNS, SALE } from './sale.ts'

const { DATABASE_URL = '', REDIS_URL = '' } = process.env

const redis = createClient({ url: REDIS_URL, socket: { reconnectStrategy: RECONNECT_MS } })
redis.on('error', (error) => console.warn(`Redis: ${String(error)}`))
await redis.connect()

const relay = createRelay({
  db: DATABASE_URL,
  log: pino({ level: 'warn' }),
  redisOutboxes: [
    {
      redis,
      name: SALE,
      // One transaction for hundreds of orders, together with the note that their entries are applied.
      async write(tx, entries) {
        const { sold, returned } = ordersOf(entries)
        if (sold.length > 0) await tx.query(ORDERS, [sold.map(({ gid }) => gid), sold.map(({ user }) => user)])
        if (returned.length > 0) await tx.query(RETURNS, [returned])
      },
    },
  ],
})
await relay.start()
console.log('ready')
process.once('SIGTERM', () => void relay.stop().then(() => process.exit(0)))
