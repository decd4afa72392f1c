/** Commits one order and dies on the way; or, started without a place to die at, answers what became of it. */
import { createServer } from 'node:http'
import pg from 'pg'
import { backQueryHandler, createOutbox, createRelayClient } from 'postcommit'
import { preparedMessages } from 'postcommit/barrier'
import { armFailpoints } from 'postcommit/protocol'

const [databaseUrl = '', relayUrl = '', port = '', order = '', diesAt] = process.argv.slice(2)
const pool = new pg.Pool({ connectionString: databaseUrl })

const outbox = createOutbox({
  db: pool,
  relay: createRelayClient({ url: relayUrl }),
  backQuery: { destination: 'orders', path: '/back-query' },
  checkAfterMs: 1000,
})

// `backQueryHandler({ db: pool, … })` would do. Here we want to see what is answered.
const prepared = preparedMessages(pool)
const backQuery = backQueryHandler({
  messages: {
    async settlePreparedMessage(gid, hint) {
      const verdict = await prepared.settlePreparedMessage(gid, hint)
      console.log(`answered ${verdict}`)
      return verdict
    },
  },
  secrets: 'unsigned',
})
createServer(backQuery.node).listen(Number(port), '127.0.0.1', () => console.log('serving'))

if (diesAt !== undefined) {
  armFailpoints(`${diesAt}:kill`)
  await outbox.commit(
    async (tx, message) => {
      await tx.query('insert into orders (id) values ($1)', [order])
      message.call('stock', '/deduct', { order })
    },
    { gid: order },
  )
}
