import { setTimeout as sleep } from 'node:timers/promises'
import { createRelay } from '@postcommit/relay'
import type pg from 'pg'
import { pino } from 'pino'
import { armFailpoints, type OperationAnswer, type TransactionOperation } from 'postcommit/protocol'
import { expect, test } from 'vitest'
import { gidOf, messageTo, sagaOf, testCoordinator } from '../../support/coordinators.ts'
import { database } from '../../support/database.ts'
import { impatient } from '../../support/dispatchers.ts'
import { eventually } from '../../support/eventually.ts'
import { httpService } from '../../support/http-service.ts'
import { latch } from '../../support/latch.ts'

/** Ends every session of relays, again and again. */
function endSessions(pool: pg.Pool): { stop(): Promise<void> } {
  let stopped = false
  const running = (async () => {
    while (!stopped) {
      await pool.query(`select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and application_name like 'postcommit%'`)
      await sleep(150)
    }
  })()
  return {
    async stop() {
      stopped = true
      await running
    },
  }
}

test('sessions that end again and again cost repetitions, and nothing else', { timeout: 90_000 }, async () => {
  await using db = await database()
  const effects = new Map<string, number>()
  await using stock = await httpService(({ headers, path }) => {
    const id = `${headers['postcommit-gid']} ${headers['postcommit-branch']} ${headers['postcommit-op']}`
    effects.set(id, (effects.get(id) ?? 0) + 1)
    return path === '/pay' && String(headers['postcommit-gid']).startsWith('failing') ? 409 : 200
  })
  const relay = createRelay({
    db: db.url,
    destinations: { stock: { url: stock.url }, orders: { url: stock.url } },
    coordinator: { database: 'main' },
    claimLeaseMs: 5000,
    log: pino({ level: 'silent' }),
  })
  await relay.start()
  try {
    /** As a client does: the same again until there is an answer. */
    const perform = async (operation: TransactionOperation): Promise<OperationAnswer> => {
      for (;;) {
        try {
          const answer = await relay.transactions?.perform(operation)
          if (answer !== undefined) return answer
        } catch {
          await sleep(20)
        }
      }
    }
    const ending = endSessions(db.pool)
    const kinds = ['message', 'saga', 'failing'].flatMap((kind) => Array.from({ length: 40 }, () => kind))
    const handedIn = kinds.map(async (kind, index) => {
      await sleep(index * 15)
      const gid = gidOf(kind)
      if (kind === 'message') {
        await perform({ do: 'prepare', gid, transaction: messageTo() })
        await perform({ do: 'submit', gid })
      } else await perform({ do: 'submit', gid, transaction: sagaOf(['order', 'pay']) })
    })
    await Promise.all(handedIn)
    await ending.stop()
    await eventually(
      async () => {
        const { rows } = await db.pool.query<{ kind: string; status: string; n: number }>(
          `select split_part(gid, '-', 1) as kind, status, count(*)::int as n
from postcommit.global_transaction group by 1, 2 order by 1`,
        )
        expect(rows).toEqual([
          { kind: 'failing', status: 'failed', n: 40 },
          { kind: 'message', status: 'succeed', n: 40 },
          { kind: 'saga', status: 'succeed', n: 40 },
        ])
      },
      { timeoutMs: 40_000 },
    )
    const count = (kind: string, what: string) =>
      [...effects.keys()].filter((id) => id.startsWith(kind) && id.endsWith(what)).length
    expect(count('message', ' 1 action')).toBe(40)
    expect([count('saga', 'order action'), count('saga', 'pay action'), count('saga', 'compensate')]).toEqual([
      40, 40, 0,
    ])
    expect([count('failing', 'order action'), count('failing', 'order compensate')]).toEqual([40, 40])
  } finally {
    await relay.stop()
  }
})

test('a claim whose relay was buried is nobody else’s loss: what it still finds out is not written', async () => {
  await using db = await database()
  const { opened, open } = latch()
  await using stock = await httpService(async (_, __, n) => {
    if (n === 1) await opened
    return n === 1 ? 409 : 200
  })
  const buried = await testCoordinator(db.url, [impatient('stock', stock.url)])
  const other = await testCoordinator(db.url, [impatient('stock', stock.url)])
  try {
    const gid = gidOf('fenced')
    await eventually(async () => {
      await buried.perform({ do: 'submit', gid, transaction: sagaOf(['order']) })
      expect(stock.calls).toHaveLength(1)
    })
    await db.pool.query(
      `update postcommit.global_transaction
set lease_token = null, lease_owner = null, due_at = clock_timestamp() where lease_owner = $1`,
      [buried.relay],
    )
    await db.pool.query('delete from postcommit.relay where id = $1', [buried.relay])
    buried.relay = undefined
    expect(await other.perform({ do: 'query', gid, waitMs: 5000 })).toMatchObject({ outcome: 'done' })
    // The late Failure of the first call changes nothing: the saga is done.
    open()
    await buried.end(20_000)
    expect(await other.perform({ do: 'query', gid })).toMatchObject({ outcome: 'done' })
    expect(stock.calls.map(({ path }) => path)).toEqual(['/order', '/order'])
  } finally {
    await buried.end(0)
    await other.end()
  }
})

test.each(['coordinator.after_claim', 'coordinator.after_response', 'coordinator.after_record'] as const)(
  'an error at %s costs time, not the transaction',
  async (label) => {
    await using db = await database()
    await using stock = await httpService()
    const relay = await testCoordinator(db.url, [impatient('stock', stock.url)], { claimLeaseMs: 2000 })
    try {
      armFailpoints(`${label}:throw`)
      const gid = gidOf('thrown')
      await relay.perform({ do: 'submit', gid, transaction: sagaOf(['order'], { requestTimeoutMs: 500 }) })
      expect(await relay.perform({ do: 'query', gid, waitMs: 10_000 })).toMatchObject({ outcome: 'done' })
    } finally {
      await relay.end()
    }
  },
)
