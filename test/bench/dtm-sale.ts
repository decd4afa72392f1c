import { createHash } from 'node:crypto'
import type pg from 'pg'
import type { IoredisLike } from 'postcommit/redis-outbox'

/**
 * DTM's flash sale, replayed: its requests as the scripts of its Redis store, in its order, in our own words, without
 * the HTTP between buyer, server and branch. State and stock are in the same Redis, the order goes to PostgreSQL with
 * its barrier, in a transaction of its own.
 */
export interface DtmSale {
  /** One purchase from beginning to end; false: there was nothing left. */
  buy(gid: string, stock: string): Promise<boolean>
}

const DAY_S = 86_400

const script = (text: string) => ({ text, sha: createHash('sha1').update(text).digest('hex') })

/** KEYS: transaction, branches, due, status. */
const PREPARE = script(`
if redis.call('exists', KEYS[1]) == 1 then return 'known' end
redis.call('set', KEYS[1], ARGV[1], 'ex', ARGV[2])
redis.call('set', KEYS[4], 'prepared', 'ex', ARGV[2])
redis.call('zadd', KEYS[3], ARGV[3], ARGV[4])
redis.call('rpush', KEYS[2], ARGV[5])
redis.call('expire', KEYS[2], ARGV[2])
return 'new'`)

/** KEYS: status, branches. */
const ADD_BRANCHES = script(`
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 'changed' end
redis.call('rpush', KEYS[2], ARGV[2])
redis.call('expire', KEYS[2], ARGV[3])
return 'added'`)

/** KEYS: transaction, due, status. */
const CHANGE = script(`
if redis.call('get', KEYS[3]) ~= ARGV[1] then return 'changed' end
redis.call('set', KEYS[1], ARGV[3], 'ex', ARGV[4])
redis.call('set', KEYS[3], ARGV[2], 'ex', ARGV[4])
if ARGV[5] ~= '' then redis.call('zrem', KEYS[2], ARGV[5]) end
return 'done'`)

/** KEYS: status, branches. */
const SAVE_BRANCH = script(`
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 'changed' end
redis.call('lset', KEYS[2], 0, ARGV[2])
return 'saved'`)

/** KEYS: stock, barrier. The stock is looked at before the barrier. */
const DEDUCT = script(`
local left = tonumber(redis.call('get', KEYS[1]) or '')
if not left or left < 1 then return 'FAILURE' end
if redis.call('exists', KEYS[2]) == 1 then return 'DUPLICATE' end
redis.call('set', KEYS[2], 'op', 'ex', ARGV[1])
redis.call('decrby', KEYS[1], 1)
return 'OK'`)

/** What its service keeps beside the orders. */
export const DTM_SALE_SCHEMA = `
create table sale_barrier (id bigint generated always as identity primary key, gid text not null, branch text not null,
  op text not null, reason text not null, unique (gid, branch, op))`

/** Opens it on a Redis and the database of the orders. */
export function openDtmSale(client: IoredisLike, pool: pg.Pool): DtmSale {
  const run = runOn(client)
  const keysOf = (gid: string) => ({ all: `d:g:${gid}`, branches: `d:b:${gid}`, due: 'd:due', status: `d:s:${gid}` })

  async function change(gid: string, from: string, to: string, isEnd: boolean): Promise<void> {
    const { all, due, status } = keysOf(gid)
    const row = JSON.stringify({ gid, status: to, trans_type: 'msg' })
    await run(CHANGE, [all, due, status], [from, to, row, String(DAY_S), isEnd ? gid : ''])
  }

  async function prepare(gid: string): Promise<void> {
    const { all, branches, due, status } = keysOf(gid)
    const row = JSON.stringify({ gid, status: 'prepared', trans_type: 'msg', query_prepared: 'http://shop/query' })
    const branch = JSON.stringify({ gid, branch_id: '01', op: 'action', url: 'http://shop/order', status: 'prepared' })
    const values = [row, String(DAY_S), String(Math.floor(Date.now() / 1000) + 10), gid, branch]
    await run(PREPARE, [all, branches, due, status], values)
  }

  return {
    async buy(gid, stock) {
      await prepare(gid)
      const answer = await run(DEDUCT, [stock, `d:barrier:${gid}`], [String(DAY_S)])
      if (answer === 'FAILURE') {
        await change(gid, 'prepared', 'failed', true)
        return false
      }
      // Submitted: it is known already, its branches are written, its status changes.
      const { branches, status } = keysOf(gid)
      await prepare(gid)
      const branch = JSON.stringify({
        gid,
        branch_id: '01',
        op: 'action',
        url: 'http://shop/order',
        status: 'prepared',
      })
      await run(ADD_BRANCHES, [status, branches], ['prepared', branch, String(DAY_S)])
      await change(gid, 'prepared', 'submitted', false)
      await placeOrder(pool, gid)
      await run(SAVE_BRANCH, [status, branches], ['submitted', branch])
      await change(gid, 'submitted', 'succeed', true)
      return true
    },
  }
}

function runOn(client: IoredisLike) {
  return async function run({ text, sha }: { text: string; sha: string }, keys: string[], values: string[]) {
    return await client.evalsha(sha, keys.length, ...keys, ...values).catch((error: unknown) => {
      if (error instanceof Error && error.message.startsWith('NOSCRIPT')) {
        return client.eval(text, keys.length, ...keys, ...values)
      }
      throw error
    })
  }
}

/** The branch: barrier and order in one transaction. */
async function placeOrder(pool: pg.Pool, gid: string): Promise<void> {
  const connection = await pool.connect()
  try {
    await connection.query('begin')
    await connection.query({
      name: 'barrier',
      text: `insert into sale_barrier (gid, branch, op, reason) values ($1, '01', 'action', 'action') on conflict do nothing`,
      values: [gid],
    })
    await connection.query({
      name: 'order',
      text: 'insert into orders (gid, user_id) values ($1, 1)',
      values: [gid],
    })
    await connection.query('commit')
  } finally {
    connection.release()
  }
}
