import { type Duration, readDuration } from '../duration.ts'
import { drawGid } from '../gid.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { type Gid, parseGid } from '../protocol/gid.ts'
import { EntryOp, UNITS_MAX } from '../protocol/redis-entry.ts'
import type { IoredisLike, NodeRedisLike } from '../redis/evaluate.ts'
import type { DatabaseLike } from '../store/open-database.ts'
import { connectTo, invalidOptions, type OutboxConnection } from './connection.ts'
import { type EntryOptions, encodeEntry, gidOf, readOnce } from './encode-entry.ts'
import { checkScriptKeys, checkStockKey } from './keys.ts'
import { openStock, type StockOptions, storeLost } from './open-stock.ts'
import { reopenSale } from './reopen.ts'
import { DEDUCT, GIVE_BACK, LEFT, wrapped } from './scripts.ts'

/** What {@link redisOutbox} takes beside the client. */
export interface RedisOutboxOptions {
  /** Names it here, at the relay and in the database, and is the hash tag of its keys: 1 to 64 of `A-Z a-z 0-9 _ . -`. */
  readonly name: string
  /** How long what was done under a gid is remembered, default `7d`. It must be longer than `horizon`. */
  readonly barrierTtl?: Duration
  /**
   * The longest time after which somebody repeats a call or gives a unit back, default `1d`: how long a client retries,
   * how long an order may stay unpaid. A repetition after the barrier is gone would take a second unit.
   */
  readonly horizon?: Duration
}

/** What is taken from a stock. */
export interface DeductOptions extends EntryOptions {
  /** The name that the stock was opened with. */
  readonly key: string
  /** How many units, default 1. */
  readonly qty?: number
}

/** What became of a deduction. */
export type Deducted =
  | { readonly status: 'ok'; readonly gid: Gid; readonly left: number }
  | {
      readonly status: 'duplicate'
      /** Of the first time. */
      readonly gid: Gid
      /** Whether it was given back since. */
      readonly returned: boolean
    }
  | { readonly status: 'sold_out'; readonly left: number }

/** What became of a return. `duplicate`: it had come back before. */
export interface GivenBack {
  readonly status: 'ok' | 'duplicate'
  readonly left: number
}

/** What a script of the user's own is run with. */
export interface ScriptCall extends EntryOptions {
  /** `KEYS` of the script, each with the hash tag of the outbox: `{sale-7}:cart:42`. */
  readonly keys?: readonly string[]
  /** `ARGV` of the script. */
  readonly args?: readonly (string | number)[]
}

/** What became of a script. `refused`: it returned false or nothing, so there is neither barrier nor entry. */
export type ScriptResult =
  | { readonly status: 'ok'; readonly gid: Gid; readonly value: unknown }
  | { readonly status: 'duplicate'; readonly gid: Gid }
  | { readonly status: 'refused' }

/** A script of the user's own with the barrier in front of it and the entry behind it. */
export interface OutboxScript {
  /**
   * @throws `POSTCOMMIT_KEYS_IN_TWO_SLOTS` before anything is sent, `POSTCOMMIT_STOCK_STORE_LOST`, and what
   * {@link RedisOutbox.deduct} throws for its options.
   */
  run(call: ScriptCall): Promise<ScriptResult>
}

/** An outbox in Redis: what is done there and what must follow are one script. */
export interface RedisOutbox {
  readonly name: string
  /**
   * Puts a stock on sale: its total is registered in PostgreSQL, which will not let more be sold, then it is put into
   * Redis. The same again changes nothing, so every process may do it when it starts; it then also notices a Redis that
   * another sale was put into.
   *
   * @param db - a Kysely instance or a pg Pool, of the database that the relay writes to
   * @throws `POSTCOMMIT_STOCK_OPENED_OTHERWISE`, `POSTCOMMIT_STOCK_STORE_LOST`, `POSTCOMMIT_REDIS_UNSUITABLE`,
   * `POSTCOMMIT_KEYS_IN_TWO_SLOTS`, `POSTCOMMIT_INVALID_OPTIONS`, and what the clients throw.
   */
  open(db: DatabaseLike, stock: StockOptions): Promise<void>
  /**
   * Lets a sale go on whose Redis has lost data: fills it again from the database, with what is left by the orders that
   * were written, and with the barriers of everybody who has one. A sale that does not stand still stays as it is.
   *
   * A decision of yours, made when Redis is sound again. Entries of the time before that are still in the stream become
   * dead letters, because their units are counted as left; other processes that opened the sale must open it again.
   *
   * @throws `POSTCOMMIT_STOCK_STORE_LOST` if it was never opened in this database, `POSTCOMMIT_REDIS_UNSUITABLE`, and what
   * the clients throw; then it stands still, and this can be called again.
   */
  reopen(db: DatabaseLike): Promise<void>
  /**
   * Takes units from a stock, and leaves the entry from which the relay makes the order: one script, one round trip.
   *
   * `ok`: the units are taken and the entry will be applied once. `duplicate`: that was so before. When the call fails
   * without an answer, the same with the same `once` finds out.
   *
   * @throws `POSTCOMMIT_STOCK_STORE_LOST` if this Redis has lost the stock or the sale was stopped,
   * `POSTCOMMIT_KEYS_IN_TWO_SLOTS`, `POSTCOMMIT_INVALID_OPTIONS`, `POSTCOMMIT_INVALID_PAYLOAD`,
   * `POSTCOMMIT_PAYLOAD_TOO_LARGE`, what a `MessageDraft` throws, and what the client throws.
   */
  deduct(options: DeductOptions): Promise<Deducted>
  /**
   * Gives the units of a deduction back, of an order that was not paid: to Redis at once, to the database with the
   * entry that the same script leaves. Exactly once, however often it is called. Decide in the database first that the
   * order is no longer paid; then call this until it answers.
   *
   * @throws `POSTCOMMIT_UNKNOWN_DEDUCTION`, `POSTCOMMIT_STOCK_STORE_LOST`, `POSTCOMMIT_INVALID_GID`, and what the client
   * throws.
   */
  giveBack(deduction: { readonly gid: string }): Promise<GivenBack>
  /**
   * Units that are left in Redis.
   * @throws `POSTCOMMIT_STOCK_STORE_LOST`, `POSTCOMMIT_KEYS_IN_TWO_SLOTS`, and what the client throws.
   */
  left(key: string): Promise<number>
  /**
   * Puts the barrier in front of a Lua script of your own and the entry behind it. Its `KEYS` and `ARGV` are those of
   * the call; it returns what the entry's `value` is to be, or false if it has done nothing.
   *
   * @example
   * ```ts
   * const draw = sale.script(`return redis.call('spop', KEYS[1])`)
   * const { status } = await draw.run({ keys: ['{sale-7}:tickets'], once: userId, payload: { userId } })
   * ```
   */
  script(lua: string): OutboxScript
}

const BARRIER_TTL = '7d'
const HORIZON = '1d'

/**
 * Opens an outbox in Redis. A script of it checks that it was not run before, does what it does, and adds an entry to a
 * stream, all of it or nothing; a relay with the same `redisOutboxes` entry writes what follows into PostgreSQL.
 *
 * @param client - a connected client of `redis` (node-redis, version 4 or newer) or `ioredis`, single or of a cluster;
 * it stays the caller's to close
 * @throws `POSTCOMMIT_BARRIER_TOO_SHORT`, `POSTCOMMIT_INVALID_OPTIONS`.
 * @example
 * ```ts
 * const sale = redisOutbox(redis, { name: 'sale-7', horizon: '30m', barrierTtl: '1d' })
 * await sale.open(pool, { key: 'stock', units: 100 })
 * const { status } = await sale.deduct({ key: 'stock', once: userId, payload: { userId } })
 * ```
 */
export function redisOutbox(client: NodeRedisLike | IoredisLike, options: RedisOutboxOptions): RedisOutbox {
  const connection = connectTo(client, options?.name, 'redisOutbox')
  const { name } = connection.keys
  const barrierTtlMs = barrierMs(name, options)
  const lifeMs = String(barrierTtlMs)
  let epoch = ''

  return {
    name,
    async open(db, stock) {
      epoch = await openStock(connection, db, stock, barrierTtlMs)
    },
    async reopen(db) {
      epoch = await reopenSale(connection, db, lifeMs)
    },
    async deduct(deduction) {
      const { key, qty = 1 } = deduction
      checkStockKey(name, 'deduct', key)
      if (!Number.isSafeInteger(qty) || qty < 1 || qty > UNITS_MAX) {
        throw invalidOptions('deduct', `qty is ${qty}, not an integer from 1 to ${UNITS_MAX}`)
      }
      const { gid, once, keys } = identify(connection, 'deduct', deduction)
      const entry = await encodeEntry(name, { op: EntryOp.deduct, gid, key, qty }, once, deduction)
      const [status, told] = await connection.run(DEDUCT, keys, [epoch, key, String(qty), lifeMs, entry])
      if (status === 'sold_out') return { status, left: Number(told) }
      if (status === 'lost') throw storeLost(name, key, String(told))
      if (status === 'ok') return { status, gid, left: Number(told) }
      // A gid that was drawn for this call: the client has sent it twice, over a connection that broke in between.
      if (once === undefined) return { status: 'ok', gid, left: await left(connection, key) }
      return { status: 'duplicate', gid, returned: String(told).startsWith('returned') }
    },
    async giveBack({ gid }) {
      const { keys, run } = connection
      const scriptKeys = [keys.barrier(parseGid(gid)), keys.stock, keys.stream]
      const [status, told] = await run(GIVE_BACK, scriptKeys, [epoch, gid, lifeMs])
      if (status === 'lost') throw storeLost(name, 'what was sold', String(told))
      if (status === 'unknown') throw new PostcommitError('POSTCOMMIT_UNKNOWN_DEDUCTION', { name, gid }, { gid })
      return { status: status === 'ok' ? 'ok' : 'duplicate', left: Number(told) }
    },
    async left(key) {
      checkStockKey(name, 'left', key)
      return await left(connection, key)
    },
    script(lua) {
      const script = wrapped(lua)
      return {
        async run(call) {
          const own = call.keys ?? []
          checkScriptKeys(name, own)
          const { gid, once, keys } = identify(connection, 'script', call)
          const entry = await encodeEntry(name, { op: EntryOp.script, gid }, once, call)
          const values = [epoch, lifeMs, entry, ...(call.args ?? []).map(String)]
          const [status, told] = await connection.run(script, [...keys, ...own], values)
          if (status === 'lost') throw storeLost(name, 'what its script does', String(told))
          if (status === 'refused') return { status }
          return status === 'ok' ? { status, gid, value: told } : { status: 'duplicate', gid }
        },
      }
    },
  }
}

function identify(
  { keys }: OutboxConnection,
  caller: string,
  options: EntryOptions,
): { readonly gid: Gid; readonly once: string | undefined; readonly keys: readonly string[] } {
  const once = options.once === undefined ? undefined : readOnce(caller, options.once)
  const gid = once === undefined ? drawGid() : gidOf(keys.name, once)
  return { gid, once, keys: [keys.barrier(gid), keys.stock, keys.stream] }
}

async function left({ keys, run }: OutboxConnection, key: string): Promise<number> {
  const [units, stopped] = (await run(LEFT, [keys.stock], [key])).map(String)
  if (stopped !== '') throw storeLost(keys.name, key, stopped ?? '')
  if (units === '') throw storeLost(keys.name, key, 'it is not in this Redis: never opened there, or forgotten')
  return Number(units)
}

/** The least that a server can be asked for; the horizon is the user's to know. */
function barrierMs(name: string, { barrierTtl = BARRIER_TTL, horizon = HORIZON }: RedisOutboxOptions): number {
  const [ttlMs, horizonMs] = [readDuration(barrierTtl), readDuration(horizon)]
  if (ttlMs === undefined || ttlMs < 1) throw invalidOptions('redisOutbox', 'barrierTtl is not a time span')
  if (horizonMs === undefined || horizonMs < 1) throw invalidOptions('redisOutbox', 'horizon is not a time span')
  if (ttlMs <= horizonMs) throw new PostcommitError('POSTCOMMIT_BARRIER_TOO_SHORT', { name, ttlMs, horizonMs })
  return ttlMs
}
