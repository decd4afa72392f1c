/** Keeps the stock: takes a piece off for an order, and puts it back if the order comes to nothing. */
import { branchHandler, DeliveryRefused } from 'postcommit'
import { barrierFrom } from 'postcommit/barrier'
import { z } from 'zod'
import { answering, listen } from './http.ts'
import { createReadCache } from './read-cache.ts'
import { rehearsal } from './rehearsal.ts'
import { openStore } from './store.ts'

const { DATABASE_URL = '', SECRET = '' } = process.env

const Deduction = z.object({ pid: z.int(), num: z.int().positive() })

const store = openStore(DATABASE_URL)
const { observed, mishap, routes } = rehearsal()
const products = createReadCache(async (id: number) => {
  const { rows } = await store.query('select id, stock from product where id = ?', [id])
  return rows[0]
})

const decrStock = branchHandler({
  secrets: [SECRET],
  schema: Deduction,
  handle: observed('DecrStock', async (call) => {
    const { pid, num } = call.payload
    const result = await store.once(barrierFrom(call), async (query) => {
      // One statement, or two orders could read the same stock; thrown inside, so that nothing of it is committed.
      const statement =
        'update product set stock = stock - ?, update_time = current_timestamp(6) where id = ? and stock >= ?'
      const { changed } = await query(statement, [num, pid, num])
      if (changed === 0) throw new DeliveryRefused(`product ${pid} is sold out`)
    })
    // After the commit, whether it was this call's or an earlier one's that died before it came here.
    products.forget(pid)
    mishap()
    return result
  }),
})

const decrStockRevert = branchHandler({
  secrets: [SECRET],
  schema: Deduction,
  handle: observed('DecrStockRevert', async (call) => {
    const { pid, num } = call.payload
    const result = await store.once(barrierFrom(call), async (query) => {
      await query('update product set stock = stock + ?, update_time = current_timestamp(6) where id = ?', [num, pid])
    })
    products.forget(pid)
    return result
  }),
})

listen(
  {
    'GET /product': answering(async ({ query }) => {
      const product = await products.read(Number(query.get('id')))
      return product === undefined ? { status: 404, body: {} } : { status: 200, body: product }
    }),
    'POST /decr-stock': decrStock.node,
    'POST /decr-stock-revert': decrStockRevert.node,
    ...routes,
  },
  store.close,
)
