import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Failpoint } from 'postcommit/protocol'
import { type RedisOutbox, redisOutbox } from 'postcommit/redis-outbox'
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest'
import { compilePrograms } from '../../examples/shop/compile.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { privatePostgres, privateRedis } from '../support/private-servers.ts'
import { type Program, spawnProgram } from '../support/program.ts'
import { redis, type TestRedis } from '../support/redis.ts'
import { repositoryFolder } from '../support/repository-folder.ts'

const UNITS = 400
const START_MS = 60_000

let programs: string
let db: TestDatabase
let clients: TestRedis
let name: string
let sale: RedisOutbox

beforeAll(async () => {
  programs = await compilePrograms(join(repositoryFolder, 'test/support/fixtures'))
  db = await database()
  clients = await redis()
  await db.pool.query('create table orders (gid text not null, op text not null)')
})
afterAll(async () => {
  await clients.close()
  await db.drop()
})
beforeEach(async () => {
  await db.pool.query('truncate orders')
  name = `sale-${randomUUID().slice(0, 13)}`
  sale = redisOutbox(clients.ioredis, { name })
  await sale.open(db.pool, { key: 'stock', units: UNITS })
})

async function relay(failpoint?: string, url = db.url, redisUrl: string = inject('redisUrl')): Promise<Program> {
  const args = [url, redisUrl, name, ...(failpoint === undefined ? [] : [failpoint])]
  return await spawnProgram(join(programs, 'redis-outbox-relay.js'), args, { NODE_ENV: 'test' })
}

/** Every buyer clicks twice, and every fourth gives its unit back. */
async function rush(outbox: RedisOutbox = sale): Promise<{ readonly sold: number; readonly returned: number }> {
  const clicks = Array.from({ length: 2 * UNITS }, (_, n) => outbox.deduct({ key: 'stock', once: `u${n % 300}` }))
  const taken = (await Promise.all(clicks)).flatMap((click) => (click.status === 'ok' ? [click.gid] : []))
  const back = taken.filter((_, n) => n % 4 === 0)
  await Promise.all([...back, ...back].map((gid) => outbox.giveBack({ gid })))
  return { sold: taken.length, returned: back.length }
}

async function expectBalance({ sold, returned }: Awaited<ReturnType<typeof rush>>, books = db): Promise<void> {
  await eventually(
    async () => {
      const { rows } = await books.pool.query(
        `select (select sold::int from postcommit.redis_stock where name = $1) as sold,
  count(*) filter (where op = 'deduct')::int as orders, count(*) filter (where op = 'give_back')::int as returns,
  count(distinct (gid, op))::int as different from orders`,
        [name],
      )
      expect(rows).toEqual([{ sold: sold - returned, orders: sold, returns: returned, different: sold + returned }])
    },
    { timeoutMs: 30_000 },
  )
  await sleep(200)
  expect((await books.pool.query('select count(*)::int as n from orders')).rows).toEqual([{ n: sold + returned }])
  expect((await books.pool.query('select count(*)::int as n from postcommit.delivery')).rows).toEqual([{ n: 0 }])
}

const POINTS = [
  'redis_outbox.after_read',
  'redis_outbox.before_commit',
  'redis_outbox.after_commit',
  'redis_outbox.after_delete',
] as const satisfies readonly Failpoint[]

test.each(POINTS)('a relay killed at %s: every deduction is one order', async (label) => {
  await using dying = await relay(`${label}:kill:4`)
  const sold = await rush()
  await expect(dying.exit).resolves.toMatchObject({ signal: 'SIGKILL' })
  await using _ = await relay()
  await expectBalance(sold)
})

test('another relay takes over from one that is stopped in the middle of a transaction', async () => {
  await using stopped = await relay('redis_outbox.before_commit:stop:3')
  await stopped.waitForLine(/serving/, { timeoutMs: START_MS })
  await using _ = await relay()
  const sold = await rush()
  await expectBalance(sold)
  stopped.resume()
  // It goes on with what it was in the middle of, and ends in its own time: nothing of that may be a second order.
  await expect(stopped.kill('SIGTERM')).resolves.toMatchObject({ code: 0 })
  await expectBalance(sold)
})

test('relays that are killed again and again, with PostgreSQL and Redis restarted under them', async () => {
  await using postgres = await privatePostgres()
  await using books = await database({ server: postgres.url })
  await books.pool.query('create table orders (gid text not null, op text not null)')
  await using server = await privateRedis()
  await using own = await redis(server.url)
  const outbox = redisOutbox(own.ioredis, { name })
  await outbox.open(books.pool, { key: 'stock', units: UNITS })
  const start = () => relay(undefined, books.url, server.url)
  let running = await start()
  const rushing = rush(outbox)
  for (let round = 0; round < 4; round += 1) {
    await sleep(300)
    await running.kill()
    running = await start()
    if (round === 1) {
      await postgres.kill()
      await postgres.start()
    }
    if (round === 2) {
      await server.kill()
      await server.start()
    }
  }
  await expectBalance(await rushing, books)
  await running.kill()
})
