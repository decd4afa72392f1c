/** The first program: orders and what must follow from them, in one commit; a relay in the same process carries it out. */
import { randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createRelay } from '@postcommit/relay'
import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import { createOutbox } from 'postcommit'

const { DATABASE_URL = addressOfDev() } = process.env
const pool = new pg.Pool({ connectionString: DATABASE_URL })
const db = new Kysely<{ orders: { id: string; sku: string } }>({ dialect: new PostgresDialect({ pool }) })
await sql`create table if not exists orders (id text primary key, sku text not null)`.execute(db)

const outbox = createOutbox({ db })

// Returns: the order and its messages are committed, and the messages will be delivered.
const { gid, value: order } = await outbox.commit(async (tx, message) => {
  const draft = { id: randomUUID(), sku: 'book' }
  const order = await tx.insertInto('orders').values(draft).returningAll().executeTakeFirstOrThrow()
  message.publish('order.placed', { orderId: order.id }, { key: order.id })
  message.call('mailer', '/confirm', { orderId: order.id })
  return order
})
console.log(`committed: order ${order.id} and two messages, as ${gid}`)

// Throws: neither the order nor the message has ever been there.
const outOfStock = await outbox
  .commit(async (tx, message) => {
    await tx.insertInto('orders').values({ id: randomUUID(), sku: 'lamp' }).execute()
    message.call('mailer', '/confirm', { orderId: 'never' })
    throw new Error('out of stock')
  })
  .catch((error: Error) => error.message)
console.log(`rolled back: ${outOfStock}`)

// Until now nothing has been sent. Usually `postcommit run` does that; a small app can have the relay inside.
const post = new EventEmitter()
const relay = createRelay({
  db: pool,
  handlers: {
    async mailer({ content, attempt }) {
      if (typeof content !== 'string' || !content.includes(order.id)) return // of an earlier run
      console.log(`attempt ${attempt}: ${attempt === 1 ? 'the mail server is away' : `mail sent for ${content}`}`)
      if (attempt === 1) throw new Error('the mail server is away')
      post.emit('sent')
    },
  },
})
const sent = once(post, 'sent')
await relay.start()
await sent
await relay.stop()
await db.destroy()

function addressOfDev(): string {
  return JSON.parse(readFileSync('.postcommit/dev.json', 'utf8')).databaseUrl
}
