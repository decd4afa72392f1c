import { randomUUID } from 'node:crypto'
import { type BranchOp, branchCallId, parseSigningSecret, signCall } from 'postcommit/protocol'
import { inject } from 'vitest'
import { type Books, openBooks } from '../../examples/03-mall/books.ts'
import { openMall, type Service } from '../../examples/03-mall/mall.ts'
import { builtPackages } from './built-packages.ts'
import { type Crossing, openCrossing } from './crossing.ts'
import { privateFolder } from './private-servers.ts'

/** The databases that the services of the mall can keep their data in. */
export const MALL_DATABASES = ['PostgreSQL', 'MariaDB'] as const

/** As long as the relay lets one wait: how fast it is, is not what is tested. */
const WAIT_MS = 60_000

/** What the order service has answered. */
export interface OrderAnswer {
  readonly status: number
  readonly body: { readonly gid: string; readonly outcome: string; readonly reason?: string }
}

/** The mall of `examples/03-mall`, with a crossing in front of each service. */
export interface TestMall {
  readonly books: Books
  /** Of the order service and the product service: their databases. */
  readonly databases: { readonly orders: string; readonly products: string }
  readonly crossings: Readonly<Record<Service, Crossing>>
  /** Where the services themselves are. */
  readonly urls: Readonly<Record<Service, string>>
  /** Orders a piece of product 1; `wait` in milliseconds, by default until it has ended. */
  order(uid: number, given?: { readonly wait?: number; readonly gid?: string }): Promise<OrderAnswer>
  outcome(gid: string, wait?: number): Promise<OrderAnswer>
  /** Lets the product service fail after its commit. */
  mishap(kind: 'refuse' | 'stumble', times?: number): Promise<void>
  /** Calls a branch of a service as the relay would, past the crossing; resolves to the status of the answer. */
  call(service: 'orders' | 'products', path: string, of: CalledBranch, at?: string): Promise<number>
  close(): Promise<void>
}

/** A branch that is called directly. */
export interface CalledBranch {
  readonly gid: string
  readonly branch: string
  readonly op: BranchOp
  readonly data: unknown
}

/** Opens it on databases of its own. */
export async function testMall(kept: (typeof MALL_DATABASES)[number]): Promise<TestMall> {
  await builtPackages()
  const opened: Partial<Record<Service, Crossing>> = {}
  const mall = await openMall({
    folder: await privateFolder('mall'),
    postgresUrl: inject('postgresUrl'),
    mariadbUrl: kept === 'MariaDB' ? inject('mariadbUrl') : undefined,
    prefix: `mall_${randomUUID().replaceAll('-', '').slice(0, 12)}`,
    async through(service, url) {
      const crossing = await openCrossing(url)
      opened[service] = crossing
      return crossing.url
    },
  })
  const crossings = opened as Record<Service, Crossing>
  const { urls, databases, secret } = mall
  const books = openBooks(mall)
  const post = (url: string, body: unknown, headers: Record<string, string> = {}) =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    })
  const answerOf = async (response: Response): Promise<OrderAnswer> => ({
    status: response.status,
    body: (await response.json()) as OrderAnswer['body'],
  })
  return {
    books,
    databases,
    crossings,
    urls,
    async order(uid, { wait = WAIT_MS, gid } = {}) {
      const key = gid === undefined ? {} : { 'idempotency-key': gid }
      const url = `${urls.orders}/api/order/create?wait=${wait}`
      return await answerOf(await post(url, { uid, pid: 1, amount: 100 }, key))
    },
    outcome: async (gid, wait = WAIT_MS) =>
      await answerOf(await fetch(`${urls.orders}/api/order?gid=${gid}&wait=${wait}`)),
    async mishap(kind, times = 1) {
      await post(`${urls.products}/rehearsal/mishap`, { kind, times })
    },
    async call(service, path, { data, ...of }, at = urls[service]) {
      const id = branchCallId(of)
      const seconds = Math.floor(Date.now() / 1000)
      const body = JSON.stringify(data)
      const headers = {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(seconds),
        'webhook-signature': signCall([parseSigningSecret(secret)], id, seconds, body),
        'postcommit-gid': of.gid,
        'postcommit-branch': of.branch,
        'postcommit-op': of.op,
      }
      return (await fetch(at + path, { method: 'POST', headers, body })).status
    },
    async close() {
      await books.close()
      await mall.close()
      await Promise.all(Object.values(crossings).map((crossing) => crossing.close()))
    },
  }
}
