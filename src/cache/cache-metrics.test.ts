import { readFileSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { type Cache, createCache } from './cache.ts'
import { cacheMetrics } from './cache-metrics.ts'
import { memoryStore } from './memory-store.ts'

const caches: Cache[] = []
const open = () => {
  const cache = createCache({ store: memoryStore() })
  caches.push(cache)
  return cache
}
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()))
})

test('says what was counted, each metric once, in the text format', async () => {
  const [shop, warehouse] = [open(), open()]
  const products = shop.define('product', { ttl: '1m', load: (id: number) => id })
  warehouse.define('shelf', { ttl: '1m', load: () => null })
  await Promise.all([products.get(1), products.get(1), products.get(2)])
  await products.get(1)
  await products.invalidate(1)
  await products.get(1).catch(() => undefined)
  await shop.switch({ read: false })
  const lines = cacheMetrics({ shop, warehouse }).split('\n')
  expect(lines.at(-1)).toBe('')
  expect(lines).toContain('postcommit_cache_reading{cache="shop"} 0')
  expect(lines).toContain('postcommit_cache_reading{cache="warehouse"} 1')
  expect(lines).toContain('postcommit_cache_hits_total{cache="shop",values="product"} 1')
  expect(lines).toContain('postcommit_cache_misses_total{cache="shop",values="product"} 4')
  expect(lines).toContain('postcommit_cache_loads_total{cache="shop",values="product"} 3')
  expect(lines).toContain('postcommit_cache_invalidations_total{cache="shop",values="product"} 1')
  expect(lines).toContain('postcommit_cache_hits_total{cache="warehouse",values="shelf"} 0')
  const heads = lines.filter((line) => line.startsWith('# TYPE'))
  expect(new Set(heads).size).toBe(heads.length)
  for (const line of lines.slice(0, -1)) expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+\{[^}]+\} \d+)$/)
})

test('a name that would break the format is refused', () => {
  expect(() => cacheMetrics({ 'a"b': open() })).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_OPTIONS' }))
})

test('docs/cache.md lists exactly these metrics', () => {
  const page = readFileSync(new URL('../../docs/cache.md', import.meta.url), 'utf8')
  const listed = [...page.matchAll(/^\| `(postcommit_cache_\w+)` \| (\w+) \| (.+) \|$/gm)].map(([, ...cells]) => cells)
  const lines = cacheMetrics({}).split('\n')
  const helps = new Map(
    lines.flatMap((line) => [/^# HELP (\w+) (.+)$/.exec(line)?.slice(1, 3) as [string, string]]).filter(Boolean),
  )
  const types = lines
    .flatMap((line) => [/^# TYPE (\w+) (\w+)$/.exec(line)?.slice(1, 3) as [string, string]])
    .filter(Boolean)
  expect(listed).toEqual(types.map(([name, type]) => [name, type, helps.get(name)]))
})
