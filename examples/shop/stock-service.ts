/** Takes the relay's calls: verifies who called, and deducts each order once however often the call comes. */
import { createServer } from 'node:http'
import pg from 'pg'
import { createInbox, handler } from 'postcommit'
import { openArrivals } from './arrivals.ts'
import { Deduction } from './schema.ts'

const { DATABASE_URL, PORT, SECRET = '', ARRIVALS = '', FAILING } = process.env

const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 10 })
pool.on('error', (error) => console.warn(`an idle connection was lost: ${error.message}`))
const inbox = createInbox({ db: pool, consumer: 'stock' })
const arrivals = openArrivals(ARRIVALS)

const deduct = handler({
  secrets: [SECRET],
  schema: Deduction,
  async handle(delivery) {
    const { orderId, sku, quantity } = delivery.payload
    arrivals.note({ messageId: delivery.id, orderId })
    if (sku === FAILING) throw new Error(`shelf ${sku} is being repaired`)
    return await inbox.once(delivery, async (tx) => {
      await tx.query(
        `insert into shelves (sku, sold) values ($1, $2)
         on conflict (sku) do update set sold = shelves.sold + excluded.sold`,
        [sku, quantity],
      )
      await tx.query('insert into deductions (order_id, sku, quantity) values ($1, $2, $3)', [orderId, sku, quantity])
    })
  },
})

const server = createServer((request, response) => {
  if (request.url === '/deduct') deduct.node(request, response)
  else response.writeHead(404).end()
})
server.listen(Number(PORT), '127.0.0.1', () => console.log(`ready: POST http://127.0.0.1:${PORT}/deduct`))
process.once('SIGTERM', () => server.close(() => void pool.end()))
