/** Creates orders and takes them back; a branch of sagas and messages. */
import { branch, openPool, serve } from './http-program.ts'

const { DATABASE_URL, PORT, TAKES_BACK } = process.env

const pool = openPool(DATABASE_URL)

serve(PORT, {
  '/create': branch(pool, (tx, { userId, goodsId, num }, { gid }) =>
    tx.query('insert into orders (gid, user_id, goods_id, num, row_state) values ($1, $2, $3, $4, 0)', [
      gid,
      userId,
      goodsId,
      num,
    ]),
  ),
  '/take-back': branch(pool, (tx, { userId, goodsId }, { gid }) => {
    if (TAKES_BACK !== 'the last order') return tx.query('update orders set row_state = -1 where gid = $1', [gid])
    // On purpose, to see it fail: what the compared system does. All buyers there have the same id.
    return tx.query(
      `update orders set row_state = -1
       where id = (select id from orders where user_id = $1 and goods_id = $2 order by id desc limit 1)`,
      [userId, goodsId],
    )
  }),
})
