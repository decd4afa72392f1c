/**
 * Takes orders over HTTP. One transaction writes the order, announces it to whoever subscribes, and asks the stock
 * service to deduct it. A customer who got no answer sends the same order again: its id makes the commit idempotent.
 */
import { createServer } from 'node:http'
import { json } from 'node:stream/consumers'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { createOutbox, PostcommitError } from 'postcommit'
import { Order, type OrderTables } from './schema.ts'

const { DATABASE_URL, PORT } = process.env
const CHECK_VIOLATION = '23514'

const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 10 })
// Without these two, a database that restarts takes the service with it: pg throws what nobody listens for.
pool.on('error', warn)
pool.on('connect', (client) => client.on('error', warn))
const db = new Kysely<OrderTables>({ dialect: new PostgresDialect({ pool }) })
const outbox = createOutbox({ db, messages: { 'order.placed': Order } })

function warn(error: Error): void {
  console.warn(`a connection was lost: ${error.message}`)
}

async function place(order: Order): Promise<{ duplicated: boolean }> {
  const { orderId, customer, sku, quantity } = order
  return await outbox.commit(
    async (tx, message) => {
      message.publish('order.placed', order, { key: customer })
      message.call('stock', '/deduct', { orderId, sku, quantity }, { key: sku })
      // A repeated order finds its row; that it is the same order is for the outbox to see, by the messages.
      const row = { id: orderId, customer, sku, quantity }
      await tx
        .insertInto('orders')
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .execute()
    },
    { gid: orderId },
  )
}

async function answerTo(body: unknown): Promise<{ status: number; body: unknown }> {
  const order = Order.safeParse(body)
  if (!order.success) return { status: 400, body: order.error.issues }
  try {
    const { duplicated } = await place(order.data)
    return { status: duplicated ? 200 : 201, body: { orderId: order.data.orderId, duplicated } }
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === CHECK_VIOLATION) return refusal(422, error)
    if (error instanceof PostcommitError && !error.retryable) return refusal(409, error)
    console.warn(error)
    return refusal(503, error)
  }
}

function refusal(status: number, error: unknown): { status: number; body: unknown } {
  return { status, body: { error: error instanceof Error ? error.message : String(error) } }
}

const server = createServer((request, response) => {
  json(request)
    .catch(() => undefined)
    .then(answerTo)
    .then(({ status, body }) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
    .catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined))
})
server.listen(Number(PORT), '127.0.0.1', () => console.log(`ready: POST http://127.0.0.1:${PORT}/orders`))
process.once('SIGTERM', () => server.close(() => void db.destroy()))
