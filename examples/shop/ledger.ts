import type pg from 'pg'
import { readArrivals } from './arrivals.ts'

/** Where the ledger reads. */
export interface Books {
  readonly orders: pg.Pool
  readonly stock: End
  /** Undefined in a shop without NATS. */
  readonly mail: End | undefined
}

/** One end of the messages: the database with what took effect, and the list of what arrived. */
export interface End {
  readonly pool: pg.Pool
  readonly arrivals: string
}

/** What happened at one end, compared with the orders that are committed; orders are named by their ids. */
export interface Account {
  /** What took effect: deductions, or mails. */
  readonly effects: number
  /** Committed orders without any. */
  readonly lost: readonly string[]
  /** Orders with some that are not committed. */
  readonly phantom: readonly string[]
  /** Orders with more than one. */
  readonly repeated: readonly string[]
  /** Messages that arrived for the first time after one that was committed later with the same key. */
  readonly outOfOrder: readonly string[]
  /** Arrivals beyond the first of each message: what the inbox had to recognise. */
  readonly rawDuplicates: number
}

/** Everything that is known afterwards. */
export interface Ledger {
  readonly orders: number
  /** Orders that a customer was told are placed, and that are not there. */
  readonly forgotten: readonly string[]
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
  const { rows } = await books.orders.query<{ orders: number; forgotten: string[] }>(COUNT_ORDERS, [batch, confirmed])
  const { orders = 0, forgotten = [] } = rows[0] ?? {}
  const stock = await readAccount(books.orders, 'sku', books.stock, 'deductions', batch)
  const mail = books.mail && (await readAccount(books.orders, 'customer', books.mail, 'mails', batch))
  return { orders, forgotten, stock, mail }
}

/** What is wrong, in words; nothing if every order took effect exactly once and in order. */
export function discrepancies({ forgotten, stock, mail }: Ledger): readonly string[] {
  return [
    ...describe('customers', { forgotten }),
    ...describe('stock', stock),
    ...(mail === undefined ? [] : describe('mail', mail)),
  ]
}

function describe(where: string, found: object): readonly string[] {
  return Object.entries(found)
    .filter(([, orders]) => Array.isArray(orders) && orders.length > 0)
    .map(([what, orders]) => `${where}: ${orders.length} ${what} (${orders.slice(0, SHOWN_MAX).join(', ')})`)
}

async function readAccount(
  orders: pg.Pool,
  key: 'sku' | 'customer',
  { pool, arrivals: path }: End,
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

const SHOWN_MAX = 5

const COUNT_ORDERS = `
select
  (select count(*) from orders where starts_with(id, $1))::int as orders,
  array(select id from unnest($2::text[]) as told (id) where not exists (select from orders where orders.id = told.id))
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
  select id, at < max(at) over (partition by key order by position rows between unbounded preceding and 1 preceding)
    as is_late
  from first_arrival join placed using (id)
)
select
  (select coalesce(sum(times), 0) from effect)::int as effects,
  array(select id from placed where not exists (select from effect where effect.id = placed.id)) as lost,
  array(select id from effect where not exists (select from placed where placed.id = effect.id)) as phantom,
  array(select id from effect where times > 1) as repeated,
  array(select id from compared where is_late) as "outOfOrder",
  (select count(*) - count(distinct message) from arrival)::int as "rawDuplicates"`
