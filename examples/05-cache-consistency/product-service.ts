/** Changes one product after the other until it is killed, and applies what others have changed. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createOutbox } from 'postcommit'
import { applyInvalidations } from 'postcommit/cache'
import { armFailpoints } from 'postcommit/protocol'
import { connection, inNats, inRedis, pool, products } from './caches.ts'
import { deletePlain } from './plain-cache.ts'

const [first = '1', changes = '0', diesAt = '0'] = process.argv.slice(2)
process.once('disconnect', () => process.exit(1))
const outbox = createOutbox({ db: pool })

// Both services share one durable: each invalidation is applied by one of them.
await applyInvalidations({ connection, durable: 'products', caches: [inRedis, inNats], onError: () => undefined })

for (let n = 1; n <= Number(changes); n += 1) {
  const id = 1 + ((Number(first) + n) % 10)
  if (n === Number(diesAt)) armFailpoints('sdk.after_commit:kill')
  const { value: version, cache } = await outbox.commit(
    async (tx, message) => {
      const sql = 'update products set version = version + 1 where id = $1 returning version'
      const { rows } = await tx.query<{ version: number }>(sql, [id])
      for (const each of products) message.invalidate(each, id)
      return rows[0]?.version
    },
    { waitFor: 'cache', timeoutMs: 10_000 },
  )
  await deletePlain(id)
  process.send?.({ id, version, cache })
  await sleep(Math.random() * 20)
}
