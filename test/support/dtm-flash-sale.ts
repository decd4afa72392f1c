import type { Redis } from 'ioredis'

/** The process was killed; nobody hears of what it did. */
export class Killed extends Error {}

/** A sale as DTM's documentation builds it. */
export interface DtmFlashSale {
  /**
   * One click of a user, who is the same transaction each time.
   * @param dies - the process that serves him dies after the deduction and before it says so
   */
  buy(user: string, dies?: boolean): Promise<'ok' | 'sold_out'>
  /** What the coordinator does with transactions that were announced and never submitted. */
  recover(): Promise<void>
  /** Users whose order was made. */
  readonly orders: ReadonlySet<string>
  left(): Promise<number>
}

const DEDUCT = `
local left = tonumber(redis.call('get', KEYS[1]) or '')
if not left or left < tonumber(ARGV[1]) then return 'FAILURE' end
if redis.call('exists', KEYS[2]) == 1 then return 'DUPLICATE' end
redis.call('set', KEYS[2], 'op', 'ex', 86400)
redis.call('decrby', KEYS[1], ARGV[1])
return 'OK'`

const QUERY = `
local found = redis.call('get', KEYS[1])
if not found then
  redis.call('set', KEYS[1], 'rollback', 'ex', 604800)
  return 'rollback'
end
return found`

/**
 * The scheme of DTM's flash sale, told in our own words: announce the transaction, deduct with a script that looks at
 * the stock before it looks whether it was run, then submit it or, if there is nothing left, abort it. Kept as the
 * control of the tests: it must be seen to take units for which no order is made.
 */
export async function dtmFlashSale(redis: Redis, tag: string, units: number): Promise<DtmFlashSale> {
  const stock = `{${tag}}:stock`
  const barrier = (user: string) => `{${tag}}:${user}-00-msg-01`
  const transactions = new Map<string, 'prepared' | 'submitted' | 'failed'>()
  const orders = new Set<string>()
  await redis.set(stock, units)

  function submit(user: string): void {
    if (transactions.get(user) === 'prepared') transactions.set(user, 'submitted')
    if (transactions.get(user) === 'submitted') orders.add(user)
  }

  return {
    orders,
    left: async () => Number(await redis.get(stock)),
    async buy(user, dies = false) {
      if (!transactions.has(user)) transactions.set(user, 'prepared')
      // One that has ended is not announced again.
      if (transactions.get(user) !== 'prepared') return orders.has(user) ? 'ok' : 'sold_out'
      const answer = await redis.eval(DEDUCT, 2, stock, barrier(user), 1)
      if (dies) throw new Killed()
      if (answer === 'FAILURE') {
        if (transactions.get(user) === 'prepared') transactions.set(user, 'failed')
        return 'sold_out'
      }
      submit(user)
      return 'ok'
    },
    async recover() {
      for (const [user, status] of transactions) {
        if (status !== 'prepared') continue
        if ((await redis.eval(QUERY, 1, barrier(user))) === 'op') submit(user)
        else transactions.set(user, 'failed')
      }
    },
  }
}
