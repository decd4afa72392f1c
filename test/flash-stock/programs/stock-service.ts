/** Deducts from the stock and puts back; a branch of sagas and messages. */
import { branch, openPool, SoldOut, serve } from './http-program.ts'

const { DATABASE_URL, PORT } = process.env

const pool = openPool(DATABASE_URL)

serve(PORT, {
  '/deduct': branch(pool, async (tx, { goodsId, num }) => {
    const { rowCount } = await tx.query('update stock set num = num - $2 where goods_id = $1 and num >= $2', [
      goodsId,
      num,
    ])
    if (rowCount === 0) throw new SoldOut()
  }),
  '/put-back': branch(pool, (tx, { goodsId, num }) =>
    tx.query('update stock set num = num + $2 where goods_id = $1', [goodsId, num]),
  ),
})
