import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { afterEach, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { insertDeliveries } from '../../support/deliveries.ts'
import { impatient, type TestDispatcher, testDispatcher } from '../../support/dispatchers.ts'
import { eventually } from '../../support/eventually.ts'
import { createFaultProxy, type FaultProxy } from '../../support/fault-proxy.ts'
import { type HttpService, httpService } from '../../support/http-service.ts'
import { privatePostgres } from '../../support/private-servers.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function scene(db: TestDatabase, dispatcherUrl = db.url, dispatchers = 1) {
  closing.push(() => db.drop())
  const stock = await httpService()
  closing.push(() => stock.kill())
  const started: TestDispatcher[] = []
  for (let n = 0; n < dispatchers; n += 1) {
    const dispatcher = await testDispatcher(dispatcherUrl, [impatient('stock', stock.url)], { claimLeaseMs: 3000 })
    closing.push(() => dispatcher.end(0))
    started.push(dispatcher)
  }
  return { stock, dispatchers: started }
}

/** Inserts deliveries of ten keys for a while; resolves to how many there were. A refused insert is made again. */
async function load(pool: pg.Pool, forMs: number): Promise<number> {
  const end = performance.now() + forMs
  let n = 0
  while (performance.now() < end) {
    const rows = Array.from({ length: 10 }, (_, key) => ({ key: `k${key}`, payload: String(n + key), dueInMs: 0 }))
    await insertDeliveries(pool, rows).then(
      () => {
        n += 10
      },
      () => undefined,
    )
    await sleep(10)
  }
  return n
}

async function allConfirmed(pool: pg.Pool): Promise<void> {
  await eventually(
    async () => {
      const { rows } = await pool.query('select distinct state from postcommit.delivery')
      expect(rows).toEqual([{ state: 'confirmed' }])
    },
    { timeoutMs: 20_000, everyMs: 100 },
  )
}

/** Lost, and out of order by first delivery; and how many calls were made twice. */
function verdict({ calls }: HttpService) {
  const seen = new Set<string>()
  const newest = new Map<string, number>()
  let outOfOrder = 0
  for (const { headers, body } of calls) {
    const id = `${headers['webhook-id']}`
    if (seen.has(id)) continue
    seen.add(id)
    const key = String(headers['postcommit-key'])
    if (Number(body) < (newest.get(key) ?? -1)) outOfOrder += 1
    newest.set(key, Number(body))
  }
  return { delivered: seen.size, outOfOrder, repeated: calls.length - seen.size }
}

describe('a dispatcher survives', () => {
  test('every session being ended again and again', { timeout: 90_000 }, async () => {
    const db = await database()
    const { stock, dispatchers } = await scene(db, db.url, 2)
    let ending = true
    const killer = (async () => {
      let ended = 0
      while (ending) {
        const { rowCount } = await db.pool.query(
          `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'test dispatcher'
           and datname = current_database()`,
        )
        ended += rowCount ?? 0
        await sleep(120)
      }
      return ended
    })()
    const inserted = await load(db.pool, 4000)
    ending = false
    expect(await killer).toBeGreaterThan(20)
    await allConfirmed(db.pool)
    const { delivered, outOfOrder, repeated } = verdict(stock)
    expect({ delivered, outOfOrder }).toEqual({ delivered: inserted, outOfOrder: 0 })
    expect(inserted).toBeGreaterThan(500)
    // Only what was under way when a session ended can be delivered twice.
    expect(repeated).toBeLessThan(inserted / 4)
    for (const dispatcher of dispatchers) expect(dispatcher.logged.join('')).toContain('cannot')
  })

  test('PostgreSQL being killed and started again', { timeout: 120_000 }, async () => {
    const server = await privatePostgres()
    closing.push(() => server.stop())
    const db = await database({ server: server.url })
    const { stock } = await scene(db)
    const loading = load(db.pool, 3000)
    await sleep(1000)
    await server.kill()
    await sleep(500)
    await server.start()
    const inserted = await loading
    await allConfirmed(db.pool)
    const { rows } = await db.pool.query<{ n: number }>('select count(*)::int as n from postcommit.delivery')
    const { delivered, outOfOrder } = verdict(stock)
    // An insert whose answer was lost may stand all the same.
    expect(rows[0]?.n).toBeGreaterThanOrEqual(inserted)
    expect({ delivered, outOfOrder }).toEqual({ delivered: rows[0]?.n, outOfOrder: 0 })
  })

  test('a network that swallows the answers of PostgreSQL', { timeout: 90_000 }, async () => {
    const db = await database()
    const target = new URL(db.url)
    const proxy: FaultProxy = await createFaultProxy({ target: { host: target.hostname, port: Number(target.port) } })
    closing.push(() => proxy.close())
    const { stock, dispatchers } = await scene(db, proxy.through(db.url))
    const loading = load(db.pool, 3000)
    for (let n = 0; n < 6; n += 1) {
      await sleep(400)
      proxy.cutAll(n % 2 === 0 ? 'rst' : 'fin')
    }
    const inserted = await loading
    await allConfirmed(db.pool)
    const { delivered, outOfOrder } = verdict(stock)
    expect({ delivered, outOfOrder }).toEqual({ delivered: inserted, outOfOrder: 0 })
    expect(await dispatchers[0]?.count('attempts', { outcome: 'failed' })).toBe(0)
  })

  test('being stopped while the database is away', { timeout: 60_000 }, async () => {
    const db = await database()
    const target = new URL(db.url)
    const proxy = await createFaultProxy({ target: { host: target.hostname, port: Number(target.port) } })
    closing.push(() => proxy.close())
    const { stock, dispatchers } = await scene(db, proxy.through(db.url))
    await insertDeliveries(db.pool, [{}])
    await allConfirmed(db.pool)
    expect(stock.calls).toHaveLength(1)
    proxy.blackhole('both')
    await sleep(300)
    // It has an end although nothing answers.
    await dispatchers[0]?.stop({ drainMs: 1000 })
    proxy.heal()
    proxy.cutAll()
  })
})
