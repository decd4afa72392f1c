/**
 * Takes orders, and keeps them. Taking one starts a saga at the relay; the relay then calls the two branches below, and
 * those of the product service.
 */
import { branchHandler, createRelayClient, DeliveryRefused, PostcommitError, type TransactionAnswer } from 'postcommit'
import { barrierFrom } from 'postcommit/barrier'
import { saga } from 'postcommit/transactions'
import { z } from 'zod'
import { type Answered, type Asked, answering, listen } from './http.ts'
import { rehearsal } from './rehearsal.ts'
import { openStore } from './store.ts'

const { DATABASE_URL = '', RELAY_URL = '', USER_URL = '', SECRET = '' } = process.env
const ORDERED = 0
const VOID = 9

const Order = z.object({ uid: z.int(), pid: z.int(), amount: z.int().positive() })

const store = openStore(DATABASE_URL)
const relay = createRelayClient({ url: RELAY_URL })
const { observed, routes } = rehearsal()

const create = branchHandler({
  secrets: [SECRET],
  schema: Order,
  handle: observed('Create', async (call) => {
    const { uid, pid, amount } = call.payload
    // Before the transaction: inside it, its rows and its connection would be held for as long as another service takes.
    if (!(await isUser(uid))) throw new DeliveryRefused(`there is no user ${uid}`)
    return await store.once(barrierFrom(call), async (query) => {
      const row = [call.gid, uid, pid, amount, ORDERED]
      await query('insert into orders (gid, uid, pid, amount, status) values (?, ?, ?, ?, ?)', row)
    })
  }),
})

const createRevert = branchHandler({
  secrets: [SECRET],
  schema: Order,
  handle: observed('CreateRevert', async (call) => {
    return await store.once(barrierFrom(call), async (query) => {
      // By the gid, never "the latest order of this user": another of the same user may be under way.
      await query('update orders set status = ?, update_time = current_timestamp(6) where gid = ?', [VOID, call.gid])
    })
  }),
})

async function isUser(uid: number): Promise<boolean> {
  const { status } = await fetch(`${USER_URL}/user?id=${uid}`, { signal: AbortSignal.timeout(5000) })
  if (status === 200 || status === 404) return status === 200
  // Nothing was learned, so nothing is decided: the relay calls again.
  throw new Error(`the user service answered ${status}`)
}

/** The same key again is the same order; with `wait=<ms>` the answer is how it ended, otherwise that it is recorded. */
async function order({ body, headers, query }: Asked): Promise<Answered> {
  const asked = Order.safeParse(body)
  if (!asked.success) return { status: 400, body: asked.error.issues }
  const { pid } = asked.data
  const key = headers['idempotency-key']
  const definition = saga('order', { retry: { baseMs: 50, capMs: 500 } })
    .step('order', { do: 'orders/create', undo: 'orders/create-revert', data: asked.data })
    .step('stock', { do: 'products/decr-stock', undo: 'products/decr-stock-revert', data: { pid, num: 1 } })
    .define()
  const waitMs = Number(query.get('wait') ?? 0)
  return await relay
    .submitSaga(definition, { waitMs, ...(typeof key === 'string' && { gid: key }) })
    .then(inHttp, refused)
}

async function outcome({ query }: Asked): Promise<Answered> {
  return await relay.query(query.get('gid') ?? '', { waitMs: Number(query.get('wait') ?? 0) }).then(inHttp, refused)
}

function inHttp(answer: TransactionAnswer): Answered {
  const { gid, outcome } = answer
  switch (outcome) {
    case 'done':
      return { status: 200, body: { gid, outcome } }
    case 'pending':
      return { status: 202, body: { gid, outcome } }
    case 'failed':
      return { status: 409, body: { gid, outcome, reason: answer.reason } }
  }
}

function refused(error: unknown): Answered {
  if (!(error instanceof PostcommitError)) throw error
  // It may have been recorded: the customer who asks again with the same key learns it.
  return { status: error.retryable ? 503 : 422, body: { error: error.message } }
}

listen(
  {
    'POST /api/order/create': answering(order),
    'GET /api/order': answering(outcome),
    'POST /create': create.node,
    'POST /create-revert': createRevert.node,
    ...routes,
  },
  () => Promise.all([store.close(), relay.close()]),
)
