/** Subscribes to the orders on NATS and writes one mail for each, however often the message comes. */
import { connect } from '@nats-io/transport-node'
import pg from 'pg'
import { createInbox } from 'postcommit'
import { subscribe } from 'postcommit/nats'
import { openArrivals } from './arrivals.ts'
import { Order } from './schema.ts'

const { DATABASE_URL, NATS_URL = '', STREAM = '', ARRIVALS = '', FAILING } = process.env

const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 10 })
pool.on('error', (error) => console.warn(`an idle connection was lost: ${error.message}`))
const inbox = createInbox({ db: pool, consumer: 'mail' })
const arrivals = openArrivals(ARRIVALS)

// Without it the client gives up after ten attempts, and the service sits there without a connection.
const connection = await connect({
  servers: NATS_URL.split(','),
  maxReconnectAttempts: -1,
  reconnectTimeWait: 250,
  waitOnFirstConnect: true,
})
const subscription = await subscribe({
  connection,
  stream: STREAM,
  durable: 'mail',
  schema: Order,
  // A killed mail service leaves messages that nobody acknowledges; this is how long they wait.
  ackWaitMs: 1500,
  backOff: { baseMs: 100, capMs: 1000 },
  async handle(delivery) {
    const { orderId, customer } = delivery.payload
    const { id: messageId, attempt, sequence } = delivery
    arrivals.note({ messageId, orderId, attempt, sequence })
    if (customer === FAILING) throw new Error(`the mailbox of ${customer} is full`)
    return await inbox.once(delivery, (tx) =>
      tx.query('insert into mails (order_id, customer) values ($1, $2)', [orderId, customer]),
    )
  },
})
console.log(`ready: subscribed to ${STREAM}`)

process.once('SIGTERM', () => void stop())

async function stop(): Promise<void> {
  await subscription.stop()
  await connection.close()
  await pool.end()
}
