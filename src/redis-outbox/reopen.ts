import type { Database, Rows } from '../store/database.ts'
import { type DatabaseLike, openDatabase } from '../store/open-database.ts'
import { beginReopening } from '../store/redis-outbox/begin-reopening.ts'
import { endReopening } from '../store/redis-outbox/end-reopening.ts'
import { selectAppliedEntries } from '../store/redis-outbox/select-applied-entries.ts'
import { selectReopenable } from '../store/redis-outbox/select-reopenable.ts'
import { selectStocksLeft } from '../store/redis-outbox/select-stocks-left.ts'
import { type OutboxConnection, requireSuitable } from './connection.ts'
import { drawEpoch, storeLost } from './open-stock.ts'
import { GO_ON, REFILL, REMEMBER } from './scripts.ts'

const PAGE = 1000

/**
 * Puts into Redis what the database knows: the barrier of everything that was applied, and of each stock what is left.
 * Resolves to the epoch that it goes on under.
 *
 * The sale stands still until all of it is there: first in the database, which gives it an epoch that no earlier entry
 * has; then in Redis, where it is filled again as one that is stopped; and goes on in the database before it does in
 * Redis. Whoever dies in between leaves a sale that stands still, and can call this again.
 */
export async function reopenSale(connection: OutboxConnection, db: DatabaseLike, lifeMs: string): Promise<string> {
  const { keys, run } = connection
  const { name } = keys
  const database: Pick<Database<unknown>, 'run'> = openDatabase(db, 'reopen')
  await requireSuitable(connection)
  const [sale] = await database.run(selectReopenable(name))
  if (sale === undefined) throw storeLost(name, 'what was sold', 'it was never opened in this database')
  const before = String(sale['epoch'])
  if (sale['stopped'] !== true) {
    const [isThere] = await run(GO_ON, [keys.stock], [before])
    if (isThere === 1) return before
  }
  const epoch = drawEpoch()
  await database.run(beginReopening(name, epoch))
  for (let after = ''; ; ) {
    const applied = await database.run(selectAppliedEntries(name, after, PAGE))
    const last = applied.at(-1)
    if (last === undefined) break
    const barriers = applied.map(({ gid }) => keys.barrier(String(gid)))
    await run(REMEMBER, barriers, [lifeMs, ...applied.map(barrierOf)])
    after = String(last['gid'])
  }
  const stocks = await database.run(selectStocksLeft(name))
  const units = stocks.flatMap(({ key, remaining }) => [String(key), String(remaining)])
  await run(REFILL, [keys.stock], [epoch, 'it is being opened anew', ...units])
  await database.run(endReopening(name, epoch))
  await run(GO_ON, [keys.stock], [epoch])
  return epoch
}

/** As the scripts write it; see there. */
function barrierOf({ op, returned, qty, key }: Rows[number]): string {
  if (op === 'script') return 'script'
  return `${returned === true ? 'returned' : 'sold'} ${qty} ${key}`
}
