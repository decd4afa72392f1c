import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { type Barrier, barrierFrom } from 'postcommit/barrier'
import { openStore, type Store } from '../../examples/03-mall/store.ts'

/** What the tutorial's services are started with. */
export interface TutorialOptions {
  readonly databases: { readonly orders: string; readonly products: string }
  readonly usersUrl: string
  /** Awaited in the transaction that takes a piece off, when the key of the cache has been deleted. */
  readonly beforeCommit?: () => Promise<unknown>
}

/** The services of the go-zero tutorial as it has designed them: on the rows of the mall, with the same paths. */
export interface TutorialMall {
  readonly url: string
  /** The first chapter's way to order, before it had sagas; `meet` is awaited between its reads and its writes. */
  orderWithoutSaga(uid: number, meet: () => Promise<unknown>): Promise<boolean>
  close(): Promise<void>
}

const VOID = 9

/** Starts them as one server. Only its designs are the tutorial's: the rows are those of `examples/03-mall`. */
export async function openTutorialMall(options: TutorialOptions): Promise<TutorialMall> {
  const orders = openStore(options.databases.orders)
  const products = openStore(options.databases.products)
  const cache = new Map<number, number>()

  const branches: Readonly<Record<string, (barrier: Barrier, body: Body) => Promise<unknown>>> = {
    '/create': (barrier, { uid, pid, amount }) =>
      // An RPC inside of the transaction.
      orders.once(barrier, async (query) => {
        if (!(await fetch(`${options.usersUrl}/user?id=${uid}`)).ok) throw new Error('user does not exist')
        const row = [barrier.gid, uid, pid, amount]
        await query('insert into orders (gid, uid, pid, amount, status) values (?, ?, ?, ?, 0)', row)
      }),
    '/create-revert': (barrier, { uid }) =>
      // "The latest order of this user."
      orders.once(barrier, async (query) => {
        const latest = 'select id from orders where uid = ? order by create_time desc, id desc limit 1'
        const { rows } = await query(latest, [uid])
        await query('update orders set status = ? where id = ?', [VOID, rows[0]?.['id']])
      }),
    '/decr-stock': (barrier, { pid }) =>
      products.once(barrier, async (query) => {
        await query('update product set stock = stock - 1 where id = ? and stock >= 1', [pid])
        // The key of the cache is deleted before the commit.
        cache.delete(pid)
        await options.beforeCommit?.()
      }),
  }

  const server = createServer((request, response) => {
    const { url = '' } = request
    const branch = branches[url]
    const answer =
      branch === undefined
        ? cachedStock(cache, products, Number(new URL(url, 'http://mall').searchParams.get('id')))
        : json(request).then((body) => branch(barrierFrom({ headers: request.headers }), body as Body))
    answer.then(
      (body) => response.writeHead(200).end(JSON.stringify(body)),
      // Whatever goes wrong is an error, and no error is a Failure.
      () => response.writeHead(500).end(),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async orderWithoutSaga(uid, meet) {
      const { rows } = await products.query('select stock from product where id = 1')
      const stock = Number(rows[0]?.['stock'])
      await meet()
      if (stock <= 0) return false
      const row = [`${uid}-${Math.random().toString(36).slice(2)}`, uid, 1, 100]
      await orders.query('insert into orders (gid, uid, pid, amount, status) values (?, ?, ?, ?, 0)', row)
      await products.query('update product set stock = ? where id = 1', [stock - 1])
      return true
    },
    async close() {
      server.close()
      server.closeAllConnections()
      await Promise.all([orders.close(), products.close()])
    },
  }
}

interface Body {
  readonly uid: number
  readonly pid: number
  readonly amount: number
}

async function cachedStock(cache: Map<number, number>, products: Store, id: number): Promise<{ stock: number }> {
  const kept = cache.get(id)
  if (kept !== undefined) return { stock: kept }
  const { rows } = await products.query('select stock from product where id = ?', [id])
  const stock = Number(rows[0]?.['stock'])
  cache.set(id, stock)
  return { stock }
}
