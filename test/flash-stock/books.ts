import { setTimeout as sleep } from 'node:timers/promises'
import type { Market } from './market.ts'
import type { Rush } from './rush.ts'

/** What is in the databases. */
export interface Books {
  /** Orders that stand, by gid. */
  readonly standing: readonly string[]
  /** Orders that were taken back, by gid. */
  readonly takenBack: readonly string[]
  /** What is left of each of the goods. */
  readonly stock: readonly number[]
  readonly transactions: readonly { readonly gid: string; readonly status: string }[]
}

/** Reads all three. */
export async function readBooks({ orders, stock, transactions }: Market): Promise<Books> {
  const { rows } = await orders.query<{ gid: string; row_state: number }>('select gid, row_state from orders')
  const left = await stock.query<{ num: number }>('select num from stock order by goods_id')
  const all = await transactions.query<{ gid: string; status: string }>(
    'select gid, status from postcommit.global_transaction',
  )
  const inState = (state: number) => rows.filter(({ row_state }) => row_state === state).map(({ gid }) => gid)
  return {
    standing: inState(0),
    takenBack: inState(-1),
    stock: left.rows.map(({ num }) => num),
    transactions: all.rows,
  }
}

const LOOK_MS = 50

/** Waits until there are at least so many transactions and all of them have ended; says whether that came in time. */
export async function untilEnded({ transactions }: Market, least: number, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const { rows } = await transactions.query<{ all: number; open: number }>(
      `select count(*)::int as all, count(*) filter (where finished_at is null)::int as open
       from postcommit.global_transaction`,
    )
    if ((rows[0]?.all ?? 0) >= least && rows[0]?.open === 0) return true
    if (performance.now() > deadline) return false
    await sleep(LOOK_MS)
  }
}

/**
 * What does not fit together, in words; nothing if what stands is what was sold, the stock is what is left of it, and
 * nobody was told anything else.
 *
 * @param initial - the stock before, of all goods together
 */
export function discrepancies(books: Books, initial: number, { sold, unclear }: Rush): readonly string[] {
  const { standing, takenBack, transactions } = books
  const left = books.stock.reduce((sum, num) => sum + num, 0)
  const stands = new Set(standing)
  const orders = new Set([...standing, ...takenBack])
  const wrong: string[] = []
  const note = (what: string, gids: readonly string[]) => {
    if (gids.length > 0) wrong.push(`${gids.length} ${what}`)
  }
  if (initial - left !== standing.length) wrong.push(`${initial - left} deducted for ${standing.length} that stand`)
  const inStatus = (of: string) => transactions.filter(({ status }) => status === of).map(({ gid }) => gid)
  note(
    'not ended',
    transactions.filter(({ status }) => status !== 'succeed' && status !== 'failed').map(({ gid }) => gid),
  )
  note(
    'sold without an order that stands',
    inStatus('succeed').filter((gid) => !stands.has(gid)),
  )
  note(
    'taken back with an order that stands',
    inStatus('failed').filter((gid) => stands.has(gid)),
  )
  note(
    'told "sold" without an order that stands',
    sold.filter((gid) => !stands.has(gid)),
  )
  if (transactions.length > 0) {
    const known = new Set(transactions.map(({ gid }) => gid))
    note(
      'orders of no transaction',
      [...orders].filter((gid) => !known.has(gid)),
    )
  }
  // Whoever got no clear answer may have bought: that is no discrepancy as long as everybody else is told the truth.
  if (unclear === 0 && sold.length !== standing.length) wrong.push(`${sold.length} told "sold"`)
  return wrong
}
