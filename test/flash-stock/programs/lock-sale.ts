/**
 * Sells as the compared system does, to be measured beside it and to be seen failing: the process that is asked calls
 * both services itself and remembers nothing. Each service lets one request in at a time, whatever it is about, and
 * turns all others away; what has to be taken back is taken back by "the last order", in five rounds of two attempts.
 *
 * The two services are functions here, and their locks variables: without the way to them and to a Redis it is faster
 * than the original.
 */
import { randomUUID } from 'node:crypto'
import { openPool, purchasing, SoldOut, serve } from './http-program.ts'

const { PORT, ORDER_DATABASE_URL, STOCK_DATABASE_URL, DIES_BETWEEN } = process.env
const ROUNDS = 5

class Locked extends Error {}

/** Runs one at a time and throws `Locked` for all others: a SETNX on a key that is always the same. */
function exclusive<Args extends readonly unknown[], T>(work: (...args: Args) => Promise<T>) {
  let isTaken = false
  return async (...args: Args): Promise<T> => {
    if (isTaken) throw new Locked()
    isTaken = true
    try {
      return await work(...args)
    } finally {
      isTaken = false
    }
  }
}

const orders = openPool(ORDER_DATABASE_URL)
const stock = openPool(STOCK_DATABASE_URL)

const create = exclusive((gid: string, user: number, goods: number, num: number) =>
  orders.query('insert into orders (gid, user_id, goods_id, num, row_state) values ($1, $2, $3, $4, 0)', [
    gid,
    user,
    goods,
    num,
  ]),
)
const deduct = exclusive(async (goods: number, num: number) => {
  const { rowCount } = await stock.query('update stock set num = num - $2 where goods_id = $1 and num >= $2', [
    goods,
    num,
  ])
  if (rowCount === 0) throw new SoldOut()
})
const takeBack = exclusive((user: number, goods: number) =>
  orders.query(
    `update orders set row_state = -1
     where id = (select id from orders where user_id = $1 and goods_id = $2 order by id desc limit 1)`,
    [user, goods],
  ),
)

serve(PORT, {
  '/order/quickCreate': purchasing(async ({ userId, goodsId, num }) => {
    const gid = randomUUID()
    try {
      await create(gid, userId, goodsId, num)
    } catch {
      return 409
    }
    if (DIES_BETWEEN === 'yes') process.kill(process.pid, 'SIGKILL')
    try {
      await deduct(goodsId, num)
      return { status: 200, body: { gid } }
    } catch {
      for (let attempt = 0; attempt < 2 * ROUNDS; attempt += 1) {
        const isDone = await takeBack(userId, goodsId).then(
          () => true,
          () => false,
        )
        if (isDone) return 409
      }
      return 500
    }
  }),
})
