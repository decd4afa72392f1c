/**
 * Sells at the door: a counter in Redis says who may buy, and the order and the stock of record follow by a two-phase
 * message. The counter and the mark that the relay will ask for are changed by one script, so whoever got one of the
 * goods gets the order too, even if this process dies right after.
 */
import { randomUUID } from 'node:crypto'
import { backQueryHandler, createRelayClient, type TransactionDefinition } from 'postcommit'
import { markPreparedAdjusting, preparedMessages, redisStore } from 'postcommit/barrier'
import { createClient } from 'redis'
import type { Purchase } from '../schema.ts'
import { type Answer, purchasing, serve } from './http-program.ts'

const { PORT, RELAY_URL = '', REDIS_URL = '', TAG = 'sale', DIES_ADMITTED } = process.env
const SOLD_OUT = 409

const redis = createClient({ url: REDIS_URL })
redis.on('error', (error) => console.warn(`the connection to Redis was lost: ${String(error)}`))
await redis.connect()
const store = redisStore(redis, { tag: TAG })
const relay = createRelayClient({ url: RELAY_URL })
const backQuery = backQueryHandler({ messages: preparedMessages(store), secrets: 'unsigned' })

const branch = (name: string, destination: string, path: string, purchase: Purchase) => ({
  branch: name,
  ops: { action: { destination, path } },
  payload: JSON.stringify(purchase),
  after: [],
})
const purchaseOf = (purchase: Purchase): TransactionDefinition => ({
  mode: 'msg',
  name: 'purchase',
  branches: [branch('order', 'order', '/create', purchase), branch('stock', 'stock', '/deduct', purchase)],
  backQuery: { target: { destination: 'sale', path: '/back-query' }, checkAfterMs: 1000 },
})

/** Buyers that are being admitted. There are never more of them than goods: the others wait until that is decided. */
let admitting = 0
const next: (() => void)[] = []

async function sell(purchase: Purchase): Promise<Answer> {
  const key = `{${TAG}}:stock:${purchase.goodsId}`
  for (;;) {
    const left = Number(await redis.get(key))
    if (left < purchase.num) return SOLD_OUT
    if (admitting * purchase.num < left) break
    await new Promise<void>((resolve) => next.push(resolve))
  }
  admitting += 1
  try {
    return await admit(purchase, key)
  } finally {
    admitting -= 1
    if (admitting === 0) for (const resume of next.splice(0)) resume()
  }
}

async function admit(purchase: Purchase, key: string): Promise<Answer> {
  const gid = randomUUID()
  await relay.prepare(gid, purchaseOf(purchase))
  const marked = await markPreparedAdjusting(store, gid, { key, by: -purchase.num })
  if (!marked.duplicate && !marked.enough) {
    void relay.abort(gid, 'sold out').catch(() => undefined)
    return SOLD_OUT
  }
  if (DIES_ADMITTED === 'yes') process.kill(process.pid, 'SIGKILL')
  // Not waited for: from its announcement on the relay asks what it is not told.
  void relay.submit(gid).catch(() => undefined)
  return { status: 200, body: { gid } }
}

serve(PORT, {
  '/order/quickCreate': purchasing(sell),
  '/back-query': async (request, response) => {
    backQuery.node(request, response)
    return undefined
  },
})
