/**
 * D8, what seadt calls exceptions of the network: each from fifty callers at once, in every store, for the branches of
 * sagas and for prepared messages. Its empty commit, a confirmation of what was never tried, is one of TCC alone: neither
 * a saga nor a message has an operation that confirms.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { PostcommitError } from 'postcommit'
import {
  type BarrierResult,
  createBarrier,
  markPrepared,
  markPreparedAdjusting,
  queryPrepared,
  redisStore,
} from 'postcommit/barrier'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { SQL_STORES } from '../../support/barrier-stores.ts'
import { redis } from '../../support/redis.ts'

const CALLERS = 50

/** A store as far as this is about it: an op that passes its barrier or not, and how often each has taken effect. */
interface Store {
  pass(gid: string, op: 'action' | 'compensate'): Promise<BarrierResult<unknown>>
  /** The local transaction of a prepared message, whose effect counts as an action: whether it was committed before. */
  commit(gid: string): Promise<boolean>
  /** Its back-query. */
  ask(gid: string): Promise<string>
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
      commit: (gid) =>
        opened.transaction(async (tx, run) => {
          const { duplicate } = await markPrepared(tx, gid)
          if (!duplicate) await run("insert into effect values ('action')")
          return duplicate
        }),
      ask: (gid) => queryPrepared(opened.db, gid),
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
      commit: async (gid) => (await markPreparedAdjusting(store, gid, { key, by: ACTION })).duplicate,
      ask: (gid) => queryPrepared(store, gid),
      async effects() {
        const sum = Number(await clients.ioredis.get(key)) - AMOUNT
        const compensate = Math.floor((sum + CALLERS) / COMPENSATION)
        return { action: compensate * COMPENSATION - sum, compensate }
      },
      clear: () => clients.ioredis.set(key, AMOUNT),
      close: clients.close,
    }
  },
}

describe.each([...sqlStores, inRedis])('D8: fifty callers in $store', ({ open }) => {
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
  const until = async <T>(attempt: () => Promise<T>): Promise<T> => {
    for (;;) {
      try {
        const told = await attempt()
        if (told !== 'in_progress') return told
      } catch (error) {
        if (!(error instanceof PostcommitError) || error.code !== 'POSTCOMMIT_BRANCH_IN_PROGRESS') throw error
      }
      await sleep(10)
    }
  }
  const crowd = <T>(call: (n: number) => Promise<T>) => Promise.all(Array.from({ length: CALLERS }, (_, n) => call(n)))
  const counted = (told: readonly unknown[]) =>
    Object.fromEntries([...new Set(told)].map((one) => [one, told.filter((other) => other === one).length]))

  describe('of a branch', () => {
    const settle = (op: 'action' | 'compensate') => until(async () => (await store.pass(gid, op)).skipped)

    test('duplicates: one takes effect, forwards and backwards', async () => {
      expect(counted(await crowd(() => settle('action')))).toEqual({ false: 1, duplicate: CALLERS - 1 })
      expect(counted(await crowd(() => settle('compensate')))).toEqual({ false: 1, duplicate: CALLERS - 1 })
      expect(await store.effects()).toEqual({ action: 1, compensate: 1 })
    })

    test('an empty rollback: what was never done is not undone', async () => {
      expect(counted(await crowd(() => settle('compensate')))).toEqual({ empty: 1, duplicate: CALLERS - 1 })
      expect(await store.effects()).toEqual({ action: 0, compensate: 0 })
    })

    test('hanging: what comes after its rollback finds the door closed', async () => {
      await settle('compensate')
      expect(counted(await crowd(() => settle('action')))).toEqual({ late: CALLERS })
      expect(await store.effects()).toEqual({ action: 0, compensate: 0 })
    })

    test('both at once: it is done and undone, or neither', async () => {
      await crowd((n) => settle(n % 2 === 0 ? 'action' : 'compensate'))
      const { action, compensate } = await store.effects()
      expect([0, 1]).toContain(action)
      expect(compensate).toBe(action)
    })
  })

  describe('of a prepared message', () => {
    const ask = () => until(() => store.ask(gid))
    /** Whether it was committed before, or the code with which it was refused. */
    const commit = () =>
      until(() => store.commit(gid)).catch((error: unknown) => {
        if (error instanceof PostcommitError) return error.code
        throw error
      })

    test('duplicates: one transaction takes effect, and everybody who asks is told so', async () => {
      expect(counted(await crowd(commit))).toEqual({ false: 1, true: CALLERS - 1 })
      expect(counted(await crowd(ask))).toEqual({ committed: CALLERS })
      expect(await store.effects()).toEqual({ action: 1, compensate: 0 })
    })

    test('an empty rollback: a transaction that was never begun is given up, by all as by one', async () => {
      expect(counted(await crowd(ask))).toEqual({ aborted: CALLERS })
      expect(await store.effects()).toEqual({ action: 0, compensate: 0 })
    })

    test('hanging: a transaction that comes after its back-query finds the door closed', async () => {
      await ask()
      expect(counted(await crowd(commit))).toEqual({ POSTCOMMIT_GID_ABORTED: CALLERS })
      expect(await store.effects()).toEqual({ action: 0, compensate: 0 })
    })

    test('both at once: one decision, for all', async () => {
      const told = await crowd((n) => (n % 2 === 0 ? commit() : ask()))
      const isCommitted = told.includes('committed')
      const half = CALLERS / 2
      expect(counted(told)).toEqual(
        isCommitted ? { false: 1, true: half - 1, committed: half } : { POSTCOMMIT_GID_ABORTED: half, aborted: half },
      )
      expect(await store.effects()).toEqual({ action: isCommitted ? 1 : 0, compensate: 0 })
    })
  })
})
