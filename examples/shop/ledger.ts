import type pg from 'pg'
import { readArrivals } from './arrivals.ts'

/** Where the ledger reads. */
export interface Books {
  readonly orders: pg.Pool
  readonly stock: Branch
  /** Undefined in a shop without NATS. */
  readonly mail: Branch | undefined
}

/** One end of the messages: the database with what took effect, and the list of what arrived. */
export interface Branch {
  readonly pool: pg.Pool
  readonly arrivals: string
}

/** What happened at one end, compared with the orders that are committed. */
export interface Account {
  /** What took effect: deductions, or mails. */
  readonly effects: number
  /** Committed orders without any. */
  readonly lost: number
  /** Orders with some that are not committed. */
  readonly phantom: number
  /** Orders with more than one. */
  readonly repeated: number
  /** Messages that arrived for the first time after one that was committed later with the same key. */
  readonly outOfOrder: number
  /** Arrivals beyond the first of each message: what the inbox had to recognise. */
  readonly rawDuplicates: number
}

/** Everything that is known afterwards. */
export interface Ledger {
  readonly orders: number
  /** Orders that a customer was told are placed, and that are not there. */
  readonly forgotten: number
  readonly stock: Account
  readonly mail: Account | undefined
}

/**
 * Compares what was committed with what arrived and what took effect.
 *
 * @param confirmed - the ids of the orders that customers know to be placed
 * @param batch - counts only orders whose id begins with it
 */
export async function readLedger(books: Books, confirmed: readonly string[], batch = ''): Promise<Ledger> {
  const { rows } = await books.orders.query<{ orders: number; forgotten: number }>(COUNT_ORDERS, [batch, confirmed])
  const { orders = 0, forgotten = 0 } = rows[0] ?? {}
  const stock = await readAccount(books.orders, 'sku', books.stock, 'deductions', batch)
  const mail = books.mail && (await readAccount(books.orders, 'customer', books.mail, 'mails', batch))
  return { orders, forgotten, stock, mail }
}

/** What is wrong, in words; nothing if every order took effect exactly once and in order. */
export function discrepancies({ forgotten, stock, mail }: Ledger): readonly string[] {
  const found = [forgotten > 0 && `${forgotten} orders forgotten`]
  for (const [name, account] of Object.entries({ stock, mail })) {
    if (account === undefined) continue
    const { lost, phantom, repeated, outOfOrder } = account
    for (const [what, count] of Object.entries({ lost, phantom, repeated, outOfOrder })) {
      found.push(count > 0 && `${name}: ${count} ${what}`)
    }
  }
  return found.filter((line) => line !== false)
}

async function readAccount(
  orders: pg.Pool,
  key: 'sku' | 'customer',
  { pool, arrivals: path }: Branch,
  effectTable: 'deductions' | 'mails',
  batch: string,
): Promise<Account> {
  const effects = await pool.query<{ order_id: string }>(`select order_id from ${effectTable}`)
  const arrivals = readArrivals(path)
  const { rows } = await orders.query<Account>(accountSql(key), [
    batch,
    effects.rows.map(({ order_id }) => order_id),
    arrivals.map(({ messageId }) => messageId),
    arrivals.map(({ orderId }) => orderId),
  ])
  const [account] = rows
  if (account === undefined) throw new Error('a select without from gave no row')
  return account
}

const COUNT_ORDERS = `
select
  (select count(*) from orders where starts_with(id, $1))::int as orders,
  (select count(*) from unnest($2::text[]) as told (id) where not exists (select from orders where orders.id = told.id))::int
    as forgotten`

/**
 * The order in which messages should arrive is that of the commits as PostgreSQL itself noted them
 * (`track_commit_timestamp`), so it depends on nothing that this project writes.
 */
const accountSql = (key: 'sku' | 'customer') => `
with placed as materialized (
  select id, ${key} as key, pg_xact_commit_timestamp(xmin) as at from orders where starts_with(id, $1)
), effect as materialized (
  select id, count(*) as times from unnest($2::text[]) as effect (id) where starts_with(id, $1) group by id
), arrival as materialized (
  select * from unnest($3::text[], $4::text[]) with ordinality as arrival (message, id, position) where starts_with(id, $1)
), first_arrival as (
  select id, min(position) as position from arrival group by id
), compared as (
  select at < max(at) over (partition by key order by position rows between unbounded preceding and 1 preceding) as is_late
  from first_arrival join placed using (id)
)
select
  (select coalesce(sum(times), 0) from effect)::int as effects,
  (select count(*) from placed where not exists (select from effect where effect.id = placed.id))::int as lost,
  (select count(*) from effect where not exists (select from placed where placed.id = effect.id))::int as phantom,
  (select count(*) from effect where times > 1)::int as repeated,
  (select count(*) from compared where is_late)::int as "outOfOrder",
  (select count(*) - count(distinct message) from arrival)::int as "rawDuplicates"`
