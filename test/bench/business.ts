import type { Kysely, Transaction } from 'kysely'
import type pg from 'pg'

/**
 * The business transaction of the bench: an order is placed on an account, by one SELECT, one INSERT and one UPDATE.
 * There are more accounts than transactions under way, so no transaction waits for a row.
 */
export const BUSINESS_SCHEMA = `
create table accounts (id int primary key, owner text not null, balance bigint not null, updated_at timestamptz not null)
  with (fillfactor = 70);
create table orders (id bigint generated always as identity primary key, account int not null, sku text not null,
  quantity int not null, price bigint not null, placed_at timestamptz not null default clock_timestamp());
create index orders_account on orders (account);
insert into accounts select n, 'owner ' || n, 1000000, now() from generate_series(0, 9999) n;
analyze accounts`

/** How many accounts there are. */
export const ACCOUNTS = 10_000

/** What Kysely is told of it. */
export interface BusinessTables {
  readonly accounts: { id: number; owner: string; balance: string; updated_at: Date }
  readonly orders: { id?: string; account: number; sku: string; quantity: number; price: number }
}

/** The business part through pg, inside a transaction of the caller's. */
export async function placeOrder(tx: pg.ClientBase, account: number): Promise<void> {
  const { rows } = await tx.query<{ balance: string }>('select id, owner, balance from accounts where id = $1', [
    account,
  ])
  if (rows[0] === undefined) throw new Error(`no account ${account}`)
  await tx.query('insert into orders (account, sku, quantity, price) values ($1, $2, $3, $4) returning id', [
    account,
    'anvil',
    1,
    1995,
  ])
  await tx.query('update accounts set balance = $2, updated_at = now() where id = $1', [
    account,
    String(BigInt(rows[0].balance) - 1n),
  ])
}

/** The same through Kysely. */
export async function placeOrderWithKysely(tx: Transaction<BusinessTables>, account: number): Promise<void> {
  const { balance } = await tx
    .selectFrom('accounts')
    .select(['id', 'owner', 'balance'])
    .where('id', '=', account)
    .executeTakeFirstOrThrow()
  await tx
    .insertInto('orders')
    .values({ account, sku: 'anvil', quantity: 1, price: 1995 })
    .returning('id')
    .executeTakeFirstOrThrow()
  await tx
    .updateTable('accounts')
    .set({ balance: String(BigInt(balance) - 1n), updated_at: new Date() })
    .where('id', '=', account)
    .execute()
}

/** A transaction without an outbox, as one would write it over a pg Pool. */
export async function transactPlainly(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<unknown>): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    await work(client)
    await client.query('commit')
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}

/** A transaction without an outbox over Kysely. */
export async function transactPlainlyWithKysely(kysely: Kysely<BusinessTables>, account: number): Promise<void> {
  await kysely.transaction().execute((tx) => placeOrderWithKysely(tx, account))
}
