/** D8, what seadt calls exceptions of the network: each from fifty callers at once, in every store. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { PostcommitError } from 'postcommit'
import { type BarrierResult, createBarrier, redisStore } from 'postcommit/barrier'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { SQL_STORES } from '../support/barrier-stores.ts'
import { redis } from '../support/redis.ts'

const CALLERS = 50

/** A store as far as this is about it: an op that passes its barrier or not, and how often each has taken effect. */
interface Store {
  pass(gid: string, op: 'action' | 'compensate'): Promise<BarrierResult<unknown>>
  effects(): Promise<{ readonly action: number; readonly compensate: number }>
  clear(): Promise<unknown>
  close(): Promise<void>
}

const sqlStores = SQL_STORES.map(({ store, open }) => ({
  store,
  async open(): Promise<Store> {
    const opened = await open()
    return {
      pass: (gid, op) =>
        opened.call(createBarrier({ gid, branch: '01', op }), (run) => run(`insert into effect values ('${op}')`)),
      async effects() {
        const effects = await opened.effects()
        const count = (op: string) => effects.filter((effect) => effect === op).length
        return { action: count('action'), compensate: count('compensate') }
      },
      clear: () => opened.run('delete from effect'),
      close: opened.close,
    }
  },
}))

/** So much less for an action, so much more for a compensation, that one number tells how often each has been. */
const ACTION = -1
const COMPENSATION = 1000
const AMOUNT = 500

const inRedis = {
  store: 'Redis',
  async open(): Promise<Store> {
    const clients = await redis()
    const store = redisStore(clients.ioredis, { tag: clients.tag })
    const key = `{${clients.tag}}:stock`
    return {
      pass: (gid, op) =>
        createBarrier({ gid, branch: '01', op }).adjust(store, { key, by: op === 'action' ? ACTION : COMPENSATION }),
      async effects() {
        const sum = Number(await clients.ioredis.get(key)) - AMOUNT
        const compensate = Math.ceil(sum / COMPENSATION)
        return { action: compensate * COMPENSATION - sum, compensate }
      },
      clear: () => clients.ioredis.set(key, AMOUNT),
      close: clients.close,
    }
  },
}

describe.each([...sqlStores, inRedis])('D8: fifty callers of a branch in $store', ({ open }) => {
  let store: Store
  let gid: string

  beforeAll(async () => {
    store = await open()
  })
  afterAll(() => store.close())
  beforeEach(async () => {
    gid = randomUUID()
    await store.clear()
  })

  /** As a relay does: what is in progress is asked again. */
  const settle = async (op: 'action' | 'compensate'): Promise<string | false> => {
    for (;;) {
      try {
        return (await store.pass(gid, op)).skipped
      } catch (error) {
        if (!(error instanceof PostcommitError) || error.code !== 'POSTCOMMIT_BRANCH_IN_PROGRESS') throw error
        await sleep(10)
      }
    }
  }
  const all = (op: 'action' | 'compensate') => Promise.all(Array.from({ length: CALLERS }, () => settle(op)))
  const counted = (told: readonly (string | false)[]) =>
    Object.fromEntries([...new Set(told)].sort().map((one) => [one, told.filter((other) => other === one).length]))

  test('duplicates: one takes effect, forwards and backwards', async () => {
    expect(counted(await all('action'))).toEqual({ false: 1, duplicate: CALLERS - 1 })
    expect(counted(await all('compensate'))).toEqual({ false: 1, duplicate: CALLERS - 1 })
    expect(await store.effects()).toEqual({ action: 1, compensate: 1 })
  })

  test('an empty rollback: what was never done is not undone', async () => {
    expect(counted(await all('compensate'))).toEqual({ empty: 1, duplicate: CALLERS - 1 })
    expect(await store.effects()).toEqual({ action: 0, compensate: 0 })
  })

  test('hanging: what comes after its rollback finds the door closed', async () => {
    await settle('compensate')
    expect(counted(await all('action'))).toEqual({ late: CALLERS })
    expect(await store.effects()).toEqual({ action: 0, compensate: 0 })
  })

  test('both at once: it is done and undone, or neither', async () => {
    await Promise.all(Array.from({ length: CALLERS }, (_, n) => settle(n % 2 === 0 ? 'action' : 'compensate')))
    expect([0, 1]).toContain((await store.effects()).action)
    const { action, compensate } = await store.effects()
    expect(compensate).toBe(action)
  })
})
