import { randomBytes } from 'node:crypto'
import { PostcommitError } from '../protocol/errors.ts'
import { UNITS_MAX } from '../protocol/redis-entry.ts'
import { type DatabaseLike, openDatabase } from '../store/open-database.ts'
import { insertStock, markStocked } from '../store/redis-outbox/insert-stock.ts'
import { invalidOptions, type OutboxConnection, requireSuitable } from './connection.ts'
import { checkStockKey } from './keys.ts'
import { OPEN } from './scripts.ts'

/** What is put on sale. */
export interface StockOptions {
  /** Its name within the outbox: 1 to 64 of `A-Z a-z 0-9 _ . : -`. */
  readonly key: string
  /** How many there are; the limit that the database holds. */
  readonly units: number
}

/**
 * Opens a stock, and gives the epoch that it is sold under: registered in the database first, then put into Redis, then
 * noted as put there. Whoever dies in between can do it again.
 */
export async function openStock(
  connection: OutboxConnection,
  db: DatabaseLike,
  { key, units }: StockOptions,
  barrierMs: number,
): Promise<string> {
  const { keys, run } = connection
  const { name } = keys
  checkStockKey(name, 'open', key)
  if (!Number.isSafeInteger(units) || units < 1 || units > UNITS_MAX) {
    throw invalidOptions('open', `units is ${units}, not an integer from 1 to ${UNITS_MAX}`)
  }
  const database = openDatabase(db, 'open')
  await requireSuitable(connection)
  const [row] = await database.run(insertStock(name, { key, units, epoch: drawEpoch(), barrierMs }))
  const { epoch, stopped_reason: stopped, total, sold, stocked, begun } = row ?? {}
  if (Number(total) !== units) {
    throw new PostcommitError('POSTCOMMIT_STOCK_OPENED_OTHERWISE', { name, key, units: Number(total) })
  }
  if (typeof stopped === 'string') throw storeLost(name, key, stopped)
  const mayInstall = stocked === false && Number(sold) === 0
  const values = [String(epoch), key, String(units), mayInstall ? '1' : '0', begun === true ? '1' : '0']
  const [state, reason] = await run(OPEN, [keys.stock], values)
  if (state === 'lost') throw storeLost(name, key, String(reason))
  if (stocked !== true) await database.run(markStocked(name, key))
  return String(epoch)
}

/** Names one filling of a Redis. */
export function drawEpoch(): string {
  return randomBytes(9).toString('base64url')
}

/** Nothing is sold, and not because it is sold out. */
export function storeLost(name: string, key: string, reason: string): PostcommitError<'POSTCOMMIT_STOCK_STORE_LOST'> {
  return new PostcommitError('POSTCOMMIT_STOCK_STORE_LOST', { name, key, reason })
}
