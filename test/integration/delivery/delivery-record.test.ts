import { describe, expect, test } from 'vitest'
import type { Settlement } from '../../../relay/engine/settle.ts'
import { type Recorded, recordSettlements } from '../../../relay/store/delivery/record-settlements.ts'
import { releaseHeld } from '../../../relay/store/delivery/release-held.ts'
import { releaseSuccessors } from '../../../relay/store/delivery/release-successors.ts'
import { inTransaction } from '../../../relay/store/in-transaction.ts'
import { claimFrom, deliveryStates, insertDeliveries, useDeliveries } from '../../support/deliveries.ts'

const fixture = useDeliveries()

const confirmed: Settlement = { event: 'confirmed', status: 204 }
const failed: Settlement = { event: 'failed', error: 'answered 500', status: 500, attempts: 3, dueInMs: 60_000 }
const away: Settlement = { event: 'unavailable', error: 'no answer', status: undefined, attempts: 2, dueInMs: 750 }
const dead: Settlement = { event: 'dead', error: 'answered 410', status: 410, attempts: 3 }

/** Claims everything and settles it, in the order of ids, as told. */
async function settleAs(...settlements: Settlement[]): Promise<readonly Recorded[]> {
  const { deliveries, token } = await claimFrom(fixture.pool, fixture.relay, { free: settlements.length })
  const ids = deliveries.map(({ id }) => id).toSorted((a, b) => Number(a) - Number(b))
  return await recordSettlements(
    fixture.pool,
    'relay 7',
    ids.map((id, n) => ({ id, token, settlement: settlements[n] ?? confirmed, durationMs: 12.6 })),
  )
}

const rowsOf = async (columns: string) =>
  (await fixture.pool.query<Record<string, unknown>>(`select ${columns} from postcommit.delivery order by id`)).rows

describe('recordSettlements', () => {
  test('writes each settlement of a batch, and gives up the claims', async () => {
    const ids = await insertDeliveries(fixture.pool, [
      { attempts: 2 },
      { attempts: 2 },
      { attempts: 2 },
      { attempts: 2 },
    ])
    const recorded = await settleAs(confirmed, failed, away, dead)
    expect(recorded.map(({ id }) => id).toSorted((a, b) => Number(a) - Number(b))).toEqual(ids)
    expect(await rowsOf('state, attempts, last_status, last_error, settled_at is not null as settled')).toEqual([
      { state: 'confirmed', attempts: 2, last_status: 204, last_error: null, settled: true },
      { state: 'pending', attempts: 3, last_status: 500, last_error: 'answered 500', settled: false },
      { state: 'pending', attempts: 2, last_status: null, last_error: 'no answer', settled: false },
      { state: 'dead', attempts: 3, last_status: 410, last_error: 'answered 410', settled: false },
    ])
    expect(await rowsOf('lease_token, lease_owner')).toEqual(ids.map(() => ({ lease_token: null, lease_owner: null })))
  })

  test('what is to be tried again is due by the clock of the database', async () => {
    await insertDeliveries(fixture.pool, [{}])
    await settleAs(failed)
    const [row] = await rowsOf('extract(epoch from due_at - clock_timestamp())::float8 as seconds')
    expect(row?.['seconds']).toBeGreaterThan(50)
    expect(row?.['seconds']).toBeLessThanOrEqual(60)
  })

  test('tells how old a message was', async () => {
    await insertDeliveries(fixture.pool, [{}])
    await fixture.pool.query(`update postcommit.delivery set created_at = clock_timestamp() - interval '5 s'`)
    const [recorded] = await settleAs(confirmed)
    expect(recorded?.ageMs).toBeGreaterThan(5000)
    expect(recorded?.ageMs).toBeLessThan(8000)
  })

  test('keeps the story of everything but the confirmation', async () => {
    const [, ...others] = await insertDeliveries(fixture.pool, [{}, {}, {}, {}])
    await settleAs(confirmed, failed, away, dead)
    const { rows } = await fixture.pool.query(
      'select delivery_id, event, attempt, duration_ms, status, detail, actor from postcommit.attempt order by delivery_id',
    )
    const common = { duration_ms: 13, actor: 'relay 7' }
    expect(rows).toEqual([
      { delivery_id: others[0], event: 'failed', attempt: 3, status: 500, detail: 'answered 500', ...common },
      { delivery_id: others[1], event: 'unavailable', attempt: 2, status: null, detail: 'no answer', ...common },
      { delivery_id: others[2], event: 'dead', attempt: 3, status: 410, detail: 'answered 410', ...common },
    ])
  })

  test('a result of a claim that no longer stands changes nothing, and is told by its absence', async () => {
    const [first, second] = await insertDeliveries(fixture.pool, [{}, {}])
    const stale = await claimFrom(fixture.pool, fixture.relay, { leaseMs: 1 })
    await fixture.pool.query('select pg_sleep(0.01)')
    const fresh = await claimFrom(fixture.pool, fixture.relay, { free: 1 })
    const results = stale.deliveries.map(({ id }) => ({ id, token: stale.token, settlement: dead, durationMs: 1 }))
    expect(await recordSettlements(fixture.pool, 'relay 7', results)).toEqual([
      { id: second, ageMs: expect.any(Number) },
    ])
    expect(await rowsOf('id, state, lease_token')).toEqual([
      { id: first, state: 'pending', lease_token: fresh.token },
      { id: second, state: 'dead', lease_token: null },
    ])
    const { rows } = await fixture.pool.query('select delivery_id from postcommit.attempt')
    expect(rows).toEqual([{ delivery_id: second }])
  })

  test('a result is not written twice', async () => {
    await insertDeliveries(fixture.pool, [{}])
    const { deliveries, token } = await claimFrom(fixture.pool, fixture.relay)
    const results = deliveries.map(({ id }) => ({ id, token, settlement: confirmed, durationMs: 1 }))
    expect(await recordSettlements(fixture.pool, 'relay 7', results)).toHaveLength(1)
    expect(await recordSettlements(fixture.pool, 'relay 7', results)).toEqual([])
  })
})

describe('inTransaction', () => {
  test('a process that is stopped half way does not keep its rows from those who take over', async () => {
    const [id] = await insertDeliveries(fixture.pool, [{}])
    const { token } = await claimFrom(fixture.pool, fixture.relay)
    let goOn: () => void = () => undefined
    const stopped = new Promise<void>((resolve) => {
      goOn = resolve
    })
    const results = [{ id: id ?? '', token, settlement: confirmed, durationMs: 1 }]
    const halfWay = inTransaction(fixture.pool, async (client) => {
      await recordSettlements(client, 'relay 7', results)
      await stopped
    })
    const outcome = expect(halfWay).rejects.toThrow()
    await fixture.pool.query(
      'update postcommit.delivery set lease_token = null, lease_owner = null, lease_until = null',
    )
    goOn()
    await outcome
    expect(await deliveryStates(fixture.pool)).toEqual(['pending'])
  })

  test('what fails leaves nothing behind, and the connection is good for the next', async () => {
    await insertDeliveries(fixture.pool, [{}])
    const failing = inTransaction(fixture.pool, async (client) => {
      await client.query({ text: 'delete from postcommit.delivery' })
      await client.query({ text: 'select 1/0' })
    })
    await expect(failing).rejects.toThrow('division by zero')
    expect(await deliveryStates(fixture.pool)).toEqual(['pending'])
  })
})

describe('releaseSuccessors', () => {
  test('lets the next of each key go, and only that one', async () => {
    await insertDeliveries(fixture.pool, [
      { key: 'k', state: 'confirmed' },
      { key: 'k', state: 'held' },
      { key: 'k', state: 'held' },
      { key: 'l', state: 'confirmed' },
      { key: 'l', state: 'held' },
      { key: 'm', state: 'held' },
    ])
    await releaseSuccessors(fixture.pool, [
      { destination: 'stock', key: 'k' },
      { destination: 'stock', key: 'l' },
      { destination: 'stock', key: 'k' },
      { destination: 'mail', key: 'm' },
      { destination: 'stock', key: 'nothing-there' },
    ])
    expect(await deliveryStates(fixture.pool)).toEqual(['confirmed', 'pending', 'held', 'confirmed', 'pending', 'held'])
  })

  test.each(['pending', 'dead'] as const)('behind one that is %s, nobody goes', async (state) => {
    await insertDeliveries(fixture.pool, [
      { key: 'k', state: 'confirmed' },
      { key: 'k', state },
      { key: 'k', state: 'held' },
    ])
    await releaseSuccessors(fixture.pool, [{ destination: 'stock', key: 'k' }])
    expect(await deliveryStates(fixture.pool)).toEqual(['confirmed', state, 'held'])
  })

  test('a released row stands where it stood among the others: its due time is not touched', async () => {
    const [, released] = await insertDeliveries(fixture.pool, [
      { key: 'k', state: 'confirmed' },
      { key: 'k', state: 'held', dueInMs: -9000 },
      { dueInMs: -5000 },
    ])
    await releaseSuccessors(fixture.pool, [{ destination: 'stock', key: 'k' }])
    const { deliveries } = await claimFrom(fixture.pool, fixture.relay, { free: 1 })
    expect(deliveries.map(({ id }) => id)).toEqual([released])
  })
})

describe('releaseHeld', () => {
  test('finds held rows without a predecessor, and no others', async () => {
    await insertDeliveries(fixture.pool, [
      { key: 'a', state: 'held' },
      { key: 'a', state: 'held' },
      { key: 'b', state: 'pending' },
      { key: 'b', state: 'held' },
      { key: 'c', state: 'dead' },
      { key: 'c', state: 'held' },
      { key: 'a', state: 'held', destination: 'mail' },
      { key: 'd', state: 'confirmed' },
      { key: 'd', state: 'held' },
    ])
    expect(await releaseHeld(fixture.pool)).toBe(3)
    expect(await deliveryStates(fixture.pool)).toEqual([
      'pending',
      'held',
      'pending',
      'held',
      'dead',
      'held',
      'pending',
      'confirmed',
      'pending',
    ])
    expect(await releaseHeld(fixture.pool)).toBe(0)
  })
})

describe('claiming and settling at the same time', () => {
  // What is looked for takes an unlucky moment: a few keys, several workers, no sweep.
  test('never leaves a row held that nothing is in front of', { timeout: 60_000 }, async () => {
    const keys = ['a', 'b', 'c', 'd', 'e']
    const order = new Map<string, string[]>(keys.map((key) => [key, []]))
    const end = performance.now() + 4000
    let producing = true

    const produce = async (): Promise<void> => {
      while (performance.now() < end) {
        await insertDeliveries(
          fixture.pool,
          keys.map((key) => ({ key, dueInMs: 0 })),
        )
      }
      producing = false
    }
    const work = async (): Promise<void> => {
      for (let idle = 0; producing || idle < 20; ) {
        const { deliveries, held, token } = await claimFrom(fixture.pool, fixture.relay, { free: 3, depth: 10 })
        idle = deliveries.length + held === 0 ? idle + 1 : 0
        if (deliveries.length === 0) continue
        for (const { id, key } of deliveries) order.get(key ?? '')?.push(id)
        await inTransaction(fixture.pool, async (client) => {
          await recordSettlements(
            client,
            'relay 7',
            deliveries.map(({ id }) => ({ id, token, settlement: confirmed, durationMs: 1 })),
          )
          await releaseSuccessors(
            client,
            deliveries.map(({ destination, key }) => ({ destination, key: key ?? '' })),
          )
        })
      }
    }
    await Promise.all([produce(), work(), work(), work()])

    expect(new Set(await deliveryStates(fixture.pool))).toEqual(new Set(['confirmed']))
    for (const ids of order.values()) {
      expect(ids.length).toBeGreaterThan(50)
      expect(ids).toEqual(ids.toSorted((a, b) => Number(a) - Number(b)))
    }
  })
})
