/**
 * Two processes of a service change products and are killed at random, while readers look whether a cache has ever shown
 * them less than what was finished before they asked.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Death, describeDeath, drawDeaths } from './fate.ts'
import { startServers } from './servers.ts'

const PRODUCTS = Array.from({ length: 10 }, (_, index) => index + 1)
const LIVES = 4
const seed = Number(process.argv[2] ?? 7)

const servers = await startServers()
const { connection, inNats, inRedis, pool, products, redis } = await import('./caches.ts')
const { getPlain } = await import('./plain-cache.ts')
await pool.query('create table products (id int primary key, version int not null)')
await pool.query('insert into products select id, 1 from generate_series(1, 10) id')

/** Up to which version the invalidation of a product is known to be done. */
const finished = new Map<number, number>()
let isOver = false

console.log(`two services change ten products, and are killed (seed ${seed})`)
const fates = [1, 2].map((service) => ({ service, deaths: drawDeaths(seed + service, LIVES) }))
for (const { service, deaths } of fates) {
  for (const death of deaths) console.log(`  service ${service} ${describeDeath(death)}`)
}
const reading = Promise.all(Array.from({ length: 16 }, (_, reader) => read(reader)))
await Promise.all(fates.map(({ service, deaths }) => live(service, deaths)))

console.log('one is killed between COMMIT and the caches, and nobody changes anything any more')
await Promise.all(PRODUCTS.map(getPlain))
await live(1, [{ how: 'between COMMIT and the caches', change: 1 }])
const service = startService(0, 0)
const equal = await isEqualWithin(20_000)
isOver = true
const seen = await reading
const count = (what: 'reads' | 'old' | 'failed') => seen.reduce((sum, reader) => sum + reader[what], 0)
if (count('reads') < 1000 || finished.size < PRODUCTS.length) throw new Error('too little has happened to say anything')

console.log(`reads older than a finished invalidation ${count('old')}`)
console.log(`reads that failed ${count('failed')}`)
const plain = await Promise.all(PRODUCTS.map(async (id) => (await getPlain(id)) === JSON.stringify(await row(id))))
console.log(`the plain cache, which is deleted after COMMIT, ${plain.every(Boolean) ? 'is equal' : 'stays old'}`)
console.log('postcommit cache verify')
for (const line of (await verify()).split('\n')) console.log(`  ${line}`)
console.log(equal ? 'every cache equals the database' : 'NOT EQUAL')

service.kill('SIGKILL')
await Promise.all([inRedis.close(), inNats.close()])
redis.destroy()
await connection.close()
await pool.end()
await servers.stop()

/** One life after the other. */
async function live(service: number, deaths: readonly Death[]): Promise<void> {
  for (const [life, death] of deaths.entries()) {
    const child = startService(service * 5 + life * 3, 1_000_000, death.how === 'somewhere' ? 0 : death.change)
    const died = once(child, 'exit')
    if (death.how === 'somewhere') {
      await once(child, 'message')
      await sleep(death.afterMs)
      child.kill('SIGKILL')
    }
    const [, signal] = await died
    if (signal !== 'SIGKILL') throw new Error(`a service ended otherwise: ${signal}`)
  }
}

function startService(first: number, changes: number, diesAt = 0): ChildProcess {
  const file = fileURLToPath(new URL('./product-service.ts', import.meta.url))
  const args = [...process.execArgv, file, ...[first, changes, diesAt].map(String)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  child.on('message', (said: { id: number; version: number; cache: 'applied' | 'pending' }) => {
    if (said.cache === 'applied') finished.set(said.id, Math.max(said.version, finished.get(said.id) ?? 0))
  })
  return child
}

async function read(reader: number) {
  const counted = { reads: 0, old: 0, failed: 0 }
  while (!isOver) {
    const id = 1 + Math.floor(Math.random() * PRODUCTS.length)
    const least = finished.get(id) ?? 0
    try {
      const product = await products[reader % products.length]?.get(id)
      counted.reads += 1
      if ((product?.version ?? 0) < least) counted.old += 1
    } catch {
      counted.failed += 1
    }
    await sleep(Math.random() * 5)
  }
  return counted
}

/** Whether every cache shows what the database holds, after a time in which what is on its way arrives. */
async function isEqualWithin(ms: number): Promise<boolean> {
  for (const end = performance.now() + ms; performance.now() < end; await sleep(50)) {
    const pairs = PRODUCTS.flatMap((id) => products.map(async (each) => [await each.get(id), await row(id)] as const))
    const equal = (await Promise.all(pairs)).every(([cached, stored]) => cached?.version === stored?.version)
    if (equal) return true
  }
  return false
}

async function row(id: number): Promise<{ id: number; version: number } | undefined> {
  return (await pool.query('select id, version from products where id = $1', [id])).rows[0]
}

/** Those of the last second are left out, because their invalidations may be on their way. */
async function verify(): Promise<string> {
  await sleep(1500)
  await Promise.all(PRODUCTS.flatMap((id) => products.map((each) => each.get(id))))
  return servers.postcommit('cache', 'verify', '--module', fileURLToPath(new URL('./caches.ts', import.meta.url)))
}
