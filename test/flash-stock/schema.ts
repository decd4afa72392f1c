/** What a buyer asks for: so many of one of the goods. */
export interface Purchase {
  readonly userId: number
  readonly goodsId: number
  readonly num: number
}

/** As in the system that is compared with: an order is in state 0 if it stands and in state -1 if it was taken back. */
export const TABLES = {
  orders: `create table orders (
    id bigint generated always as identity primary key,
    gid text not null unique,
    user_id bigint not null,
    goods_id bigint not null,
    num integer not null,
    row_state smallint not null check (row_state in (0, -1))
  );
  -- Whoever takes back "the last order" should not be slow in doing so.
  create index on orders (user_id, goods_id, id)`,
  stock: 'create table stock (goods_id bigint primary key, num integer not null check (num >= 0))',
} as const
