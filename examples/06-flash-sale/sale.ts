/** What the programs of the sale agree on. */

/** Names the outbox in Redis; all of its keys have it as their hash tag. */
export const SALE = 'flash-sale'
/** Names its stock. */
export const STOCK = 'console'
/** How soon a client of Redis tries again; the server is killed now and then. */
export const RECONNECT_MS = 50

/** The orders of the sale. */
export const ORDERS_TABLE = `create table orders (
  id bigint generated always as identity primary key,
  gid text not null unique,
  user_id int not null,
  status text not null default 'placed',
  placed_at timestamptz not null default clock_timestamp()
)`
/** What was sold. */
export const ORDERS = 'insert into orders (gid, user_id) select * from unnest($1::text[], $2::int[])'
/** What came back. */
export const RETURNS = `update orders set status = 'returned' where gid = any ($1)`

/** What the relay hands over. */
interface Entry {
  readonly op: 'deduct' | 'give_back' | 'script'
  readonly gid: string
  readonly payload: unknown
}

/** Entries, by what is to be written of them. */
export function ordersOf(entries: readonly Entry[]) {
  const sold = entries.filter(({ op }) => op === 'deduct')
  const returned = entries.filter(({ op }) => op === 'give_back')
  return {
    sold: sold.map(({ gid, payload }) => ({ gid, user: (payload as { readonly user: number }).user })),
    returned: returned.map(({ gid }) => gid),
  }
}
