/** A shop that sells what is in Redis, in one of several ways. */
import { Redis } from 'ioredis'
import pg from 'pg'
import { redisOutbox } from 'postcommit/redis-outbox'
import { openDtmSale } from '../dtm-sale.ts'
import { serve } from '../serve.ts'

export interface SaleBuyerConfig {
  readonly redis: string
  readonly database: string
  /** Of the outbox in Redis. */
  readonly name: string
  /** How many purchases are under way. */
  readonly atOnce: number
  readonly way: 'postcommit' | 'dtm' | 'bare'
}

export type SaleBuyerCommands = {
  /** Puts so many units on sale under a name of their own. */
  open(stock: string, units: number): Promise<void>
  /** So many users each want one; resolves to how many got one. */
  buy(stock: string, buyers: number): Promise<number>
}

const BARE = `return tonumber(redis.call('get', KEYS[1]) or '0') < 1 and 'sold_out' or 'ok'`

serve<SaleBuyerConfig, SaleBuyerCommands>(async ({ redis, database, name, atOnce, way }) => {
  const client = new Redis(redis)
  const pool = new pg.Pool({ connectionString: database, max: way === 'dtm' ? 32 : 1, idleTimeoutMillis: 0 })
  const sale = redisOutbox(client, { name })
  const dtm = openDtmSale(client, pool)
  const sha = String(await client.script('LOAD', BARE))
  const buyOne = {
    async postcommit(user: string, stock: string) {
      return (await sale.deduct({ key: stock, once: user, payload: { user: 1 } })).status === 'ok'
    },
    dtm: (user: string, stock: string) => dtm.buy(user, stock),
    bare: async (_: string, stock: string) => (await client.evalsha(sha, 1, stock)) === 'ok',
  }[way]
  let bought = 0
  return {
    commands: {
      async open(stock, units) {
        if (way === 'postcommit') await sale.open(pool, { key: stock, units: Math.max(1, units) })
        else await client.set(stock, units)
        // A stock of none cannot be opened; the one unit of it is bought here.
        if (way === 'postcommit' && units === 0) await buyOne(`late-${stock}`, stock)
      },
      async buy(stock, buyers) {
        let left = buyers
        let served = 0
        const one = async (): Promise<void> => {
          while (left > 0) {
            left -= 1
            bought += 1
            if (await buyOne(`${stock}-${process.pid}-${bought}`, stock)) served += 1
          }
        }
        await Promise.all(Array.from({ length: atOnce }, one))
        return served
      },
    },
    async close() {
      client.disconnect()
      await pool.end()
    },
  }
})
