/**
 * Orders in a mall: a saga over two services with a database each, through all that can go wrong in it. With
 * `--mariadb` the services keep their data in MariaDB, otherwise in PostgreSQL; what happens is the same to the letter.
 */
import { startMariadb, startPostgres } from '@postcommit/relay/dev'
import { openBooks } from './books.ts'
import { openMall } from './mall.ts'

const FOLDER = '.postcommit/mall'
const WAIT_MS = 60_000

const { DATABASE_URL, MARIADB_URL } = process.env
const closers: (() => Promise<unknown>)[] = []

try {
  const postgresUrl = DATABASE_URL ?? (await started(startPostgres({ dataDir: `${FOLDER}/postgres` })))
  const mariadbUrl = process.argv.includes('--mariadb')
    ? (MARIADB_URL ?? (await started(startMariadb({ dataDir: `${FOLDER}/mariadb` }))))
    : undefined
  await play(postgresUrl, mariadbUrl)
} finally {
  for (const close of closers.reverse()) await close()
}

async function started(starting: Promise<{ readonly url: string; stop(): Promise<unknown> }>): Promise<string> {
  const server = await starting
  closers.push(server.stop)
  return server.url
}

async function play(postgresUrl: string, mariadbUrl: string | undefined): Promise<void> {
  const mall = await openMall({ folder: FOLDER, postgresUrl, mariadbUrl })
  closers.push(mall.close)
  const books = openBooks(mall)
  closers.push(books.close)

  const post = async (url: string, body: unknown) => {
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
    return { status: response.status, body: (await response.json()) as { gid: string; reason?: string } }
  }
  const order = async (uid: number, wait = WAIT_MS) =>
    await post(`${mall.urls.orders}/api/order/create?wait=${wait}`, { uid, pid: 1, amount: 100 })
  const mishap = async (kind: string, times = 1) =>
    void (await post(`${mall.urls.products}/rehearsal/mishap`, { kind, times }))

  const tell = async ({ status, body: { gid, reason } }: Awaited<ReturnType<typeof order>>) => {
    console.log(`  answered ${status}${reason === undefined ? '' : `: ${reason}`}`)
    for (const { call, result } of await books.calls(gid)) console.log(`  ${call.padEnd(15)} ${result}`)
    const row = (await books.orders()).find((one) => one.gid === gid)
    const standing = row === undefined ? 'there is no order' : `order ${row.id} has status ${row.status}`
    console.log(
      `  ${standing}, the stock is ${(await books.product(1)).stock}, the saga is ${(await books.saga(gid)).status}`,
    )
    console.log(`  barrier: ${(await books.barrier(gid)).join(', ') || 'no rows'}`)
  }

  console.log('an order')
  await books.restock(1, 1)
  await tell(await order(1))

  console.log('another one, and nothing is left')
  await tell(await order(1))

  console.log('a product service that fails after its commit')
  await books.restock(1, 100)
  await mishap('refuse')
  await tell(await order(1))

  console.log('one that stumbles twice after its commit')
  await mishap('stumble', 2)
  await tell(await order(1))

  console.log('a user that nobody knows')
  await tell(await order(404))

  console.log('a customer who does not wait')
  const recorded = await order(2, 0)
  console.log(`  answered ${recorded.status}: it is recorded`)
  const ended = await fetch(`${mall.urls.orders}/api/order?gid=${recorded.body.gid}&wait=${WAIT_MS}`)
  await tell({ status: ended.status, body: recorded.body })

  const orders = await books.orders()
  const standing = orders.filter(({ status }) => status === 0).length
  console.log(
    `${standing} of ${orders.length} orders stand, ${1 + 100 - (await books.product(1)).stock} pieces are gone`,
  )
}
