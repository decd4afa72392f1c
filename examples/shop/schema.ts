import type { Generated } from 'kysely'
import { z } from 'zod'

/** What a customer sends, and what the shop tells everybody when the order stands. */
export const Order = z.object({
  orderId: z.string(),
  customer: z.string(),
  sku: z.string(),
  quantity: z.int(),
})

/** An order as it travels. */
export type Order = z.output<typeof Order>

/** What the stock service is asked to take off its shelves. */
export const Deduction = Order.omit({ customer: true })

/** The tables of the order service, for Kysely. */
export interface OrderTables {
  orders: { id: string; customer: string; sku: string; quantity: number; placed_at: Generated<Date> }
}

/** Each service has a database of its own, with these tables beside the schema that `postcommit migrate` makes. */
export const TABLES = {
  orders: `create table orders (
    id text primary key,
    customer text not null,
    sku text not null,
    quantity integer not null constraint sold_by_the_dozen check (quantity between 1 and 12),
    placed_at timestamptz not null default clock_timestamp()
  )`,
  // No unique constraint on what happened: if something took effect twice, there must be two rows to count.
  stock: `create table shelves (sku text primary key, sold bigint not null default 0);
  create table deductions (order_id text not null, sku text not null, quantity integer not null)`,
  mail: 'create table mails (order_id text not null, customer text not null)',
} as const
