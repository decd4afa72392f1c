/** A service that reads products through a cache. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createOutbox } from 'postcommit'
import { type BenchCache, type CacheAddresses, type CacheName, caches, type Product } from '../caches.ts'
import { pace } from '../products.ts'
import { serve } from '../serve.ts'

export interface CacheReaderConfig extends CacheAddresses {
  readonly database: string
  readonly cache: CacheName
}

/** How long reads took, and how long after it was due each of them was begun, milliseconds. */
export interface PacedReads {
  readonly tookMs: readonly number[]
  readonly lateMs: readonly number[]
}

export type CacheReaderCommands = {
  /** Reads each of the products 1 … `count` once, so that they are cached. */
  fill(count: number): Promise<void>
  /** Begins reads of random products at `perSecond` on average for `ms`, whether those before are answered or not. */
  paced(perSecond: number, ms: number, products: number): Promise<PacedReads>
  /** Reads one product after the other; resolves to how long each read took, milliseconds. */
  sequence(reads: number, products: number): Promise<readonly number[]>
  /** So many readers read the same product, each as soon as it has it, for `ms`. */
  hot(readers: number, ms: number, id: number): Promise<{ readonly reads: number; readonly loads: number }>
  /** Changes a product `perSecond` for `ms`, as one does with this cache; resolves to how often. */
  update(perSecond: number, ms: number, id: number): Promise<number>
}

serve<CacheReaderConfig, CacheReaderCommands>(async ({ database, cache: name, ...addresses }) => {
  const pool = new pg.Pool({ connectionString: database, max: 4 })
  let loads = 0
  const load = async (id: number): Promise<Product | undefined> => {
    loads += 1
    const { rows } = await pool.query<Product>('select id, version, price, text from products where id = $1', [id])
    return rows[0]
  }
  const cache: BenchCache = await caches[name](addresses, load)
  const randomId = (products: number) => 1 + Math.floor(Math.random() * products)
  const commands: CacheReaderCommands = {
    async fill(count) {
      for (let id = 1; id <= count; id += 100) {
        await Promise.all(Array.from({ length: Math.min(100, count + 1 - id) }, (_, n) => cache.read(id + n)))
      }
    },
    paced: (perSecond, ms, products) => pacedReads(perSecond, ms, () => cache.read(randomId(products))),
    async sequence(reads, products) {
      const tookMs: number[] = []
      for (let n = 0; n < reads; n += 1) {
        const id = randomId(products)
        const begunAt = performance.now()
        await cache.read(id)
        tookMs.push(performance.now() - begunAt)
      }
      return tookMs
    },
    async hot(readers, ms, id) {
      const before = loads
      const until = performance.now() + ms
      let reads = 0
      const read = async () => {
        while (performance.now() < until) {
          await cache.read(id)
          reads += 1
        }
      }
      await Promise.all(Array.from({ length: readers }, read))
      return { reads, loads: loads - before }
    },
    update: updater(pool, cache),
  }
  return {
    commands,
    async close() {
      await cache.close()
      await pool.end()
    },
  }
})

/** As the documentation of each has it: ours in the commit, the others after it. */
function updater(pool: pg.Pool, cache: BenchCache): CacheReaderCommands['update'] {
  const outbox = createOutbox({ db: pool })
  const text = 'update products set version = version + 1 where id = $1'
  return async (perSecond, ms, id) => {
    const { values } = cache
    let updates = 0
    for (const until = performance.now() + ms; performance.now() < until; await sleep(1000 / perSecond)) {
      if (values === undefined) {
        await pool.query(text, [id])
        await cache.drop(id)
      } else {
        await outbox.commit(async (tx, message) => {
          await tx.query(text, [id])
          message.invalidate(values, id)
        })
      }
      updates += 1
    }
    return updates
  }
}

async function pacedReads(perSecond: number, ms: number, read: () => Promise<unknown>): Promise<PacedReads> {
  // Numbers alone, and no promise kept: what the collector has to look through is part of what reads wait for.
  const most = Math.ceil((2 * (perSecond * ms)) / 1000) + 1000
  const tookMs = new Float64Array(most)
  const lateMs = new Float64Array(most)
  let [begun, answered] = [0, 0]
  let failure: unknown
  await pace(perSecond, ms, (late) => {
    lateMs[begun] = late
    begun += 1
    const begunAt = performance.now()
    read().then(
      () => {
        tookMs[answered] = performance.now() - begunAt
        answered += 1
      },
      (error: unknown) => {
        failure ??= error
      },
    )
  })
  while (failure === undefined && answered < begun) await sleep(1)
  if (failure !== undefined) throw failure
  return { tookMs: [...tookMs.subarray(0, answered)], lateMs: [...lateMs.subarray(0, begun)] }
}
