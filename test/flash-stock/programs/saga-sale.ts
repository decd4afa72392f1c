/** Sells by a saga: an order, then the stock. Whoever asks is told how it ended. */
import { randomUUID } from 'node:crypto'
import { createRelayClient } from 'postcommit'
import { saga } from 'postcommit/transactions'
import { purchasing, serve } from './http-program.ts'

const { PORT, RELAY_URL = '' } = process.env
const WAIT_MS = 50_000

const relay = createRelayClient({ url: RELAY_URL, timeoutMs: 60_000 })

serve(PORT, {
  '/order/quickCreate': purchasing(async (data) => {
    const gid = randomUUID()
    const purchase = saga('purchase', { retry: { baseMs: 50, capMs: 1000 } })
      .step('order', { do: 'order/create', undo: 'order/take-back', data })
      .step('stock', { do: 'stock/deduct', undo: 'stock/put-back', data })
      .define()
    const { outcome } = await relay.submitSaga(purchase, { gid, waitMs: WAIT_MS })
    return { status: { done: 200, failed: 409, pending: 202 }[outcome], body: { gid } }
  }),
})
