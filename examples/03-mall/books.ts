/** What is in the books of the mall: the rows of both services, the calls they had, and what the relay says. */
import type { Mall } from './mall.ts'
import type { ObservedCall } from './rehearsal.ts'
import { openStore } from './store.ts'

/** An order as its row says. */
export interface OrderRow {
  readonly id: number
  readonly gid: string
  readonly uid: number
  /** 0: it stands; 9: it is void. */
  readonly status: number
}

/** The books, which are read through connections of their own. */
export interface Books {
  orders(): Promise<readonly OrderRow[]>
  /** The row of a product; `updated` in milliseconds. */
  product(id: number): Promise<{ readonly stock: number; readonly updated: number }>
  restock(id: number, stock: number): Promise<void>
  /** The barrier's rows of a saga in both databases: `<branch> <op>/<who wrote it>`, in the order of their names. */
  barrier(gid: string): Promise<readonly string[]>
  /** Which branches were called, in the order in which the calls came. */
  calls(gid: string): Promise<readonly ObservedCall[]>
  /** How a saga stands at the relay, and its ops: `<branch> <op> <status>`. */
  saga(gid: string): Promise<{ readonly status: string; readonly ops: readonly string[] }>
  close(): Promise<void>
}

/** Opens the books of a mall. */
export function openBooks({ urls, databases }: Mall): Books {
  const orders = openStore(databases.orders)
  const products = openStore(databases.products)
  const table = databases.orders.startsWith('mysql:') ? 'postcommit_barrier' : 'postcommit.barrier'
  const get = async (url: string): Promise<unknown> => (await fetch(url)).json()
  return {
    async orders() {
      return (await orders.query('select id, gid, uid, status from orders order by id')).rows as unknown as OrderRow[]
    },
    async product(id) {
      const { rows } = await products.query('select stock, update_time from product where id = ?', [id])
      const [row] = rows
      return { stock: Number(row?.['stock']), updated: Number(row?.['update_time']) }
    },
    async restock(id, stock) {
      await products.query('delete from product where id = ?', [id])
      await products.query('insert into product (id, stock) values (?, ?)', [id, stock])
    },
    async barrier(gid) {
      const statement = `select branch, op, barrier_id, reason from ${table} where gid = ? order by branch, op, barrier_id`
      const answers = [await orders.query(statement, [gid]), await products.query(statement, [gid])]
      return answers
        .flatMap(({ rows }) => rows)
        .map(({ branch, op, barrier_id, reason }) => `${branch} ${op} ${barrier_id}/${reason}`)
    },
    async calls(gid) {
      const of = async (url: string) => (await get(`${url}/rehearsal/calls?gid=${gid}`)) as readonly ObservedCall[]
      return [...(await of(urls.orders)), ...(await of(urls.products))].sort((a, b) => a.at - b.at)
    },
    async saga(gid) {
      const { status, branches } = (await get(`${urls.relay}/v1/transactions/${gid}`)) as {
        readonly status: string
        readonly branches: readonly { readonly branch: string; readonly op: string; readonly status: string }[]
      }
      return { status, ops: branches.map((branch) => `${branch.branch} ${branch.op} ${branch.status}`) }
    },
    close: async () => void (await Promise.all([orders.close(), products.close()])),
  }
}
