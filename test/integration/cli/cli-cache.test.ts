import { mkdirSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createOutbox } from 'postcommit'
import { type Cache, createCache, redisStore } from 'postcommit/cache'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { defineProducts, makeProducts, type Product } from '../../support/products.ts'
import { redis, type TestRedis } from '../../support/redis.ts'
import { repositoryFolder } from '../../support/repository-folder.ts'
import { runCli } from '../../support/run-cli.ts'

/** Below node_modules, so that it finds the packages as a service does. */
const folder = join(repositoryFolder, 'node_modules', `.cache/cli-cache-${process.pid}`)
const CACHES = `
import pg from 'pg'
import { createCache, redisStore } from 'postcommit/cache'
import { createClient } from 'redis'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
const client = createClient({ url: process.env.REDIS_URL, socket: { connectTimeout: 2000 } })
client.on('error', () => {})
if (process.env.AWAY === undefined) await client.connect()
export const shop = createCache({ store: redisStore(client, { prefix: process.env.PREFIX }), timeout: '5s', onError: () => {} })
shop.define('product', {
  ttl: '10m',
  async load(id) {
    if (id === 13) throw new Error('nobody loads 13')
    return (await pool.query('select id, version from products where id = $1', [id])).rows[0]
  },
})
export const somethingElse = 42
`

let db: TestDatabase
let rd: TestRedis
let cache: Cache
let products: ReturnType<typeof defineProducts>

beforeAll(async () => {
  mkdirSync(folder, { recursive: true })
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  await writeFile(join(folder, 'caches.js'), CACHES)
  await writeFile(join(folder, 'empty.js'), 'export const nothing = {}')
  await writeFile(join(folder, 'broken.js'), 'throw new Error("no such luck")')
})
afterAll(() => rm(folder, { recursive: true, force: true }))
beforeEach(async () => {
  db = await database()
  rd = await redis()
  await makeProducts(db.pool, 20)
  cache = createCache({ store: redisStore(rd.nodeRedis, { prefix: `${rd.tag}:` }), timeout: '20s' })
  products = defineProducts(cache, db.pool)
})
afterEach(async () => {
  await cache.close()
  await rd.close()
  await db.drop()
})

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const given = { DATABASE_URL: db.url, REDIS_URL: inject('redisUrl'), PREFIX: `${rd.tag}:`, ...env }
  const [verb = '', ...others] = args
  const result = await runCli(['cache', verb, '--module', 'caches.js', ...others], { cwd: folder, env: given })
  return { ...result, document: args.includes('--json') && result.code < 2 ? JSON.parse(result.stdout) : undefined }
}

/** Changes rows, as it should be done; the commit applies the invalidations itself. */
async function change(...ids: readonly number[]): Promise<void> {
  const outbox = createOutbox({ db: db.pool })
  await outbox.commit(
    async (tx, message) => {
      for (const id of ids) {
        await tx.query('update products set version = version + 1 where id = $1', [id])
        message.invalidate(products, id)
      }
    },
    { waitFor: 'cache', timeoutMs: 20_000 },
  )
  // Values of the last second are left out.
  await db.pool.query(`update postcommit.outbox set created_at = created_at - interval '2 seconds'`)
}

const versions = async (ids: readonly number[]) =>
  (await products.getMany(ids)).map((product: Product | null) => product?.version)

describe('postcommit cache verify', () => {
  test('compares what was invalidated lately, and finds what was changed behind its back', async () => {
    await change(1, 2, 3)
    expect(await versions([1, 2, 3])).toEqual([2, 2, 2])
    const good = await run(['verify', '--json'])
    expect(good).toMatchObject({ code: 0, stderr: '' })
    expect(good.document).toEqual({
      values: [{ cache: 'shop', name: 'product', checked: 3, cached: 3, inconsistent: [], failed: [] }],
      complete: true,
    })
    await db.pool.query('update products set version = 9 where id = 2')
    await db.pool.query('delete from products where id = 3')
    const bad = await run(['verify', '--grace', '100ms', '--json'])
    expect(bad.code).toBe(1)
    expect(bad.document.values[0]).toMatchObject({ checked: 3, cached: 3 })
    expect(bad.document.values[0].inconsistent).toHaveLength(2)
    expect(bad.document.values[0].inconsistent).toEqual(
      expect.arrayContaining([
        { key: 'product:2', differsIn: ['version'] },
        { key: 'product:3', differsIn: null },
      ]),
    )
    const told = await run(['verify', '--grace', '100ms', '2'])
    expect(told).toMatchObject({
      code: 1,
      stdout:
        'shop product: 1 compared, 1 of them cached, 1 not what the database holds\n  product:2 differs in version\n',
    })
  })

  test('samples, keeps to its time, and says where there was nothing', async () => {
    expect(await run(['verify'])).toMatchObject({ code: 0, stdout: 'Nothing was invalidated within 1 h.\n' })
    await change(...Array.from({ length: 10 }, (_, index) => index + 1))
    const { document } = await run(['verify', '--sample', '4', '--since', '10m', '--json'])
    expect(document.values).toMatchObject([{ checked: 4, cached: 0 }])
    const late = await run(['verify', '--timeout', '0ms', '--json'])
    expect(late.document).toMatchObject({ complete: false, values: [{ checked: 0 }] })
  })

  test('what cannot be compared is told and is no success', async () => {
    await rd.nodeRedis.hSet(`${rd.tag}:product:13`, { v: '{"id":13}', ct: '99999999999999' })
    const result = await run(['verify', '1', '13'])
    expect(result).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('  13 could not be compared: nobody loads 13\n'),
    })
  })

  test('a store that is away', async () => {
    const result = await run(['verify', '1'], { AWAY: '1' })
    expect(result).toMatchObject({ code: 3, stderr: expect.stringContaining('POSTCOMMIT_CACHE_UNREACHABLE') })
  })

  test.each([
    [['--module', 'nowhere.js'], 'nowhere.js cannot be imported: Cannot find module'],
    [['--module', 'broken.js'], 'broken.js cannot be imported: no such luck'],
    [['--module', 'empty.js'], 'empty.js exports no cache'],
    [['--values', 'user'], 'no cache defines user'],
    [['--sample', '0'], '1 to 100000'],
    [['--since', 'long'], 'Times are a whole number'],
  ])('%j is refused', async (args, text) => {
    expect(await run(['verify', ...args])).toMatchObject({ code: 2, stderr: expect.stringContaining(text) })
  })
})

describe('postcommit cache switch', () => {
  test('down and up in order, for every process', { timeout: 180_000 }, async () => {
    expect(await versions([1])).toEqual([1])
    const early = await run(['switch', '--invalidate', 'off'])
    expect(early).toMatchObject({ code: 1, stderr: expect.stringContaining('POSTCOMMIT_CACHE_SWITCH_REFUSED') })
    expect(await run(['switch', '--read', 'off'])).toMatchObject({
      code: 0,
      stdout: 'shop: reads are off, in every process\n',
    })
    // This process goes by it, which is what the command has waited for.
    expect(cache.readsFrom).toBe('database')
    expect((await run(['switch', '--invalidate', 'off', '--json'])).document).toEqual({
      caches: ['shop'],
      invalidate: false,
    })
    await change(1)
    // Nobody will believe it, so it is nothing to mend.
    expect((await run(['verify', '1', '--json'])).document.values).toMatchObject([{ cached: 0, inconsistent: [] }])
    expect((await run(['switch', '--read', 'on'])).code).toBe(1)
    expect((await run(['switch', '--invalidate', 'on'])).code).toBe(0)
    expect((await run(['switch', '--read', 'on'])).code).toBe(0)
    expect(cache.readsFrom).toBe('cache')
    expect(await versions([1])).toEqual([2])
  })

  test.each([[[]], [['--read', 'on', '--invalidate', 'on']], [['--read', 'maybe']]])('%j is refused', async (args) => {
    expect((await run(['switch', ...args])).code).toBe(2)
  })
})
