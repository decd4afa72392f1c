import { AsyncLocalStorage } from 'node:async_hooks'
import { afterEach, describe, expect, test } from 'vitest'
import { type Cache, createCache } from './cache.ts'
import { valuesNamed } from './cached-values.ts'
import { memoryStore } from './memory-store.ts'

const caches: Cache[] = []
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()))
})

function open(): Cache {
  const cache = createCache({ store: memoryStore() })
  caches.push(cache)
  return cache
}

describe('the asynchronous context of a load', () => {
  const tenant = new AsyncLocalStorage<string>()

  test('is that of its reader', async () => {
    const load = async (id: string) => ({ id, by: tenant.getStore() })
    const values = open().define<string, object>('a', { ttl: '1m', load })
    const read = (by: string, id: string) => tenant.run(by, () => values.get(id))
    expect(await Promise.all([read('t1', 'x'), read('t2', 'y')])).toEqual([
      { id: 'x', by: 't1' },
      { id: 'y', by: 't2' },
    ])
  })

  test('is that of the reader for whom it is made again, who had waited behind another', async () => {
    const loads: (string | undefined)[] = []
    let letGo: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      letGo = resolve
    })
    const values = open().define<number, object>('b', {
      ttl: '1m',
      async load() {
        loads.push(tenant.getStore())
        if (loads.length === 1) await held
        return { n: loads.length }
      },
    })
    const first = tenant.run('t1', () => values.get(1))
    while (loads.length === 0) await new Promise(setImmediate)
    const second = tenant.run('t2', () => values.get(1))
    await values.invalidate(1)
    letGo()
    await Promise.all([first, second])
    expect(loads).toEqual(['t1', 't2'])
  })

  test('is that of no reader where it is for several', async () => {
    const batches: unknown[] = []
    const values = open().define<string, object>('c', {
      ttl: '1m',
      load: () => null,
      loadMany(ids) {
        batches.push([tenant.getStore(), ids])
        return ids.map((id) => ({ id }))
      },
    })
    await Promise.all(['t1', 't2'].map((by) => tenant.run(by, () => values.get(by))))
    expect(batches).toEqual([[undefined, ['t1', 't2']]])
  })
})

describe('an id that has not one text of its own is no key', () => {
  const refused = expect.objectContaining({ code: 'POSTCOMMIT_INVALID_CACHE_KEY' })
  const ids: [string, unknown][] = [
    ['undefined', undefined],
    ['null', null],
    ['NaN', Number.NaN],
    ['an empty array', []],
    ['an array', ['a', 'b']],
    ['an object', { a: 1 }],
    ['an object without a prototype', Object.create(null)],
    ['a function', () => 1],
    ['a symbol', Symbol('x')],
    ['a Map', new Map()],
    ['a promise', Promise.resolve(1)],
    ['a Date', new Date(0)],
  ]

  test.each(ids)('%s', async (_, id) => {
    const values = open().define<unknown, object>('d', { ttl: '1m', load: () => ({}) })
    await expect((async () => await values.get(id))()).rejects.toEqual(refused)
    expect(() => valuesNamed<unknown>('d').keyOf(id)).toThrow(refused)
  })

  test('what has one is', async () => {
    const values = open().define<unknown, unknown>('e', { ttl: '1m', load: (id) => String(id) })
    expect(await values.getMany(['a', 1, 5n, true, '__proto__'])).toEqual(['a', '1', '5', 'true', '__proto__'])
  })
})
