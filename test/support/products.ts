import type pg from 'pg'
import type { Cache, CachedValues } from 'postcommit/cache'
import { z } from 'zod'

/** A product: each change of it has a number of its own, one higher than the last. */
export interface Product {
  readonly id: number
  readonly version: number
}

const Product = z.object({ id: z.number(), version: z.number() })

/** Makes the table with this many rows, all of version 1. */
export async function makeProducts(pool: pg.Pool, count: number): Promise<void> {
  await pool.query('create table products (id int primary key, version int not null)')
  await pool.query('insert into products select id, 1 from generate_series(1, $1) id', [count])
}

/** Defines the products of a database in a cache. */
export function defineProducts(cache: Cache, pool: pg.Pool): CachedValues<number, Product> {
  return cache.define('product', {
    schema: Product,
    ttl: '10m',
    load: async (id: number) => (await pool.query('select id, version from products where id = $1', [id])).rows[0],
  })
}

/** Changes one of them, in a transaction of somebody else's. */
export async function raise(tx: Pick<pg.ClientBase, 'query'>, id: number): Promise<number> {
  const { rows } = await tx.query<{ version: number }>(
    'update products set version = version + 1 where id = $1 returning version',
    [id],
  )
  return rows[0]?.version ?? 0
}
