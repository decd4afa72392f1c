import { afterEach, beforeEach, expect, test } from 'vitest'
import { handIn } from '../../../relay/coordinator/intake/definition-rows.ts'
import { createHandlerDestination } from '../../../relay/destinations/handler.ts'
import { insertTransactions } from '../../../relay/store/transaction/insert-transactions.ts'
import { gidOf, messageTo, testCoordinator } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'

/** More than one relay has in hand. */
const BURST = 3000

let db: TestDatabase

beforeEach(async () => {
  db = await database()
})
afterEach(() => db.drop())

const to = (destination: string) =>
  messageTo({ branches: [{ branch: '01', ops: { action: { destination, path: '/action' } }, payload: '{}' }] })

/** Hands in more messages for `destination` than a relay has room for, all due at once. */
async function burst(destination: string): Promise<void> {
  const defaults = { checkAfterMs: 1000, deadlineMs: 10_000 }
  const all = Array.from({ length: BURST }, () =>
    handIn({ tenant: '', gid: gidOf('burst') }, to(destination), 'submitted', defaults),
  )
  for (let from = 0; from < BURST; from += 500) await insertTransactions(db.pool, all.slice(from, from + 500))
}

const finished = async (): Promise<number> => {
  const { rows } = await db.pool.query<{ n: number }>(
    'select count(*)::int as n from postcommit.global_transaction where finished_at is not null',
  )
  return rows[0]?.n ?? 0
}

test('a burst for a destination that hangs leaves room for the others', { timeout: 120_000 }, async () => {
  const hanging = createHandlerDestination('hanging', () => new Promise(() => undefined))
  const quick = createHandlerDestination('quick', async () => undefined)
  await burst('hanging')
  const relay = await testCoordinator(db.url, [hanging, quick])
  try {
    await eventually(() => expect(relay.coordinator.held).toBeGreaterThan(500), { timeoutMs: 20_000 })
    for (let n = 0; n < 20; n += 1) {
      const answer = await relay.perform({
        do: 'submit',
        gid: gidOf('other'),
        transaction: to('quick'),
        waitMs: 20_000,
      })
      expect(answer).toMatchObject({ outcome: 'done' })
    }
    expect(relay.coordinator.held).toBeLessThan(1900)
  } finally {
    await relay.end(0)
  }
})

test('a burst for a destination that is busy is carried out, whole', { timeout: 120_000 }, async () => {
  let calls = 0
  const busy = createHandlerDestination('busy', async () => {
    calls += 1
  })
  await burst('busy')
  const relay = await testCoordinator(db.url, [busy])
  try {
    await eventually(async () => expect(await finished()).toBe(BURST), { timeoutMs: 90_000, everyMs: 100 })
    expect(calls).toBe(BURST)
  } finally {
    await relay.end()
  }
})
