/**
 * The front of the sale: `POST /buy?user=17` takes a unit from Redis and answers at once, `POST /return?gid=…` gives the
 * unit of an unpaid order back. It never writes an order: the entry that the same script leaves in Redis does that.
 */
import { createServer } from 'node:http'
import pg from 'pg'
import { redisOutbox } from 'postcommit/redis-outbox'
import { createClient } from 'redis'
import { RECONNECT_MS, SALE, STOCK } from './sale.ts'

const { PORT, DATABASE_URL, REDIS_URL = '', UNITS } = process.env

const redis = createClient({ url: REDIS_URL, socket: { reconnectStrategy: RECONNECT_MS } })
redis.on('error', (error) => console.warn(`Redis: ${String(error)}`))
await redis.connect()
const sale = redisOutbox(redis, { name: SALE, horizon: '30m', barrierTtl: '1d' })

// Every process does so when it starts: only the first time has an effect.
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 1 })
pool.on('error', (error) => console.warn(`PostgreSQL: ${error.message}`))
await sale.open(pool, { key: STOCK, units: Number(UNITS) })
await pool.end()

/** `ok`, `duplicate` or `sold_out`. The same user again is the same purchase, however often the answer is lost. */
async function buy(user: string): Promise<string> {
  const { status } = await sale.deduct({ key: STOCK, once: user, payload: { user: Number(user) } })
  return status
}

async function answer(url: URL): Promise<string> {
  const parameter = (name: string) => url.searchParams.get(name) ?? ''
  if (url.pathname === '/buy') return await buy(parameter('user'))
  if (url.pathname === '/return') return (await sale.giveBack({ gid: parameter('gid') })).status
  throw new Error(`there is no ${url.pathname}`)
}

const server = createServer((request, response) => {
  request.resume()
  answer(new URL(request.url ?? '', 'http://shop')).then(
    (status) => response.end(status),
    (error: unknown) => {
      // Nothing is known of what was asked, so the customer asks again.
      console.warn(String(error))
      response.writeHead(503).end()
    },
  )
})
server.listen(Number(PORT), '127.0.0.1', () => console.log('ready'))
