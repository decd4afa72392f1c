import { setTimeout as sleep } from 'node:timers/promises'
import { armFailpoints } from 'postcommit/protocol'
import { describe, expect, test } from 'vitest'
import type { Delivery } from '../../../relay/destinations/destination.ts'
import { createHandlerDestination } from '../../../relay/destinations/handler.ts'
import { impatient, many, numbered, useDispatchers } from '../../support/dispatchers.ts'
import { eventually } from '../../support/eventually.ts'
import { latch } from '../../support/latch.ts'

const fixture = useDispatchers()
const { service, dispatch, insert, states, allConfirmed, columns } = fixture

describe('stopping', () => {
  test('lets what runs finish, and writes it down', async () => {
    const { opened, open } = latch()
    const stock = await service(async () => {
      await opened
      return 204
    })
    await insert(...many(10, (n) => numbered(n)))
    const dispatcher = await dispatch([impatient('stock', stock.url, { concurrency: 4 })])
    await eventually(() => expect(stock.calls).toHaveLength(4))
    const stopped = dispatcher.stop({ drainMs: 20_000 })
    open()
    await stopped
    expect(stock.calls).toHaveLength(4)
    const now = await states()
    expect(now.filter((state) => state === 'confirmed')).toHaveLength(4)
    expect(await columns('lease_token')).toEqual(now.map(() => ({ lease_token: null })))
  })

  test('gives back at once what takes longer, with no attempt counted', async () => {
    const stock = await service(() => undefined)
    await insert(...many(10, (n) => numbered(n, { attempts: 2 })))
    const dispatcher = await dispatch([impatient('stock', stock.url, { concurrency: 4, timeoutMs: 30_000 })])
    await eventually(() => expect(stock.calls).toHaveLength(4))
    const begun = performance.now()
    await dispatcher.stop({ drainMs: 300 })
    // Half of what the calls may take.
    expect(performance.now() - begun).toBeLessThan(15_000)
    const rows = await columns(
      'state, attempts, lease_token, greatest(due_at, lease_until) <= clock_timestamp() as due',
    )
    expect(rows).toEqual(rows.map(() => ({ state: 'pending', attempts: 2, lease_token: null, due: true })))
    expect(await dispatcher.count('attempts')).toBe(0)
  })

  test('claims nothing more', async () => {
    const stock = await service()
    const dispatcher = await dispatch([impatient('stock', stock.url)])
    await dispatcher.stop({ drainMs: 1000 })
    await insert(numbered(1))
    dispatcher.wake()
    // Another one finds it at once: there was something to claim.
    const other = await dispatch([impatient('stock', stock.url)])
    await allConfirmed()
    expect(await dispatcher.count('attempts')).toBe(0)
    expect(await other.count('attempts', { outcome: 'confirmed' })).toBe(1)
  })
})

describe('fencing', () => {
  test('a relay that does not take part claims nothing, and goes on when it does again', async () => {
    const stock = await service()
    const dispatcher = await dispatch([impatient('stock', stock.url)])
    const { relay } = dispatcher
    dispatcher.relay = undefined
    // A claim that is under way may still end as it began.
    await sleep(50)
    await insert(numbered(1))
    // Another relay finds it at once.
    const other = await dispatch([impatient('stock', stock.url)])
    await allConfirmed()
    expect(await dispatcher.count('attempts')).toBe(0)
    await other.end()
    dispatcher.relay = relay
    await insert(numbered(2))
    await allConfirmed()
    expect(await dispatcher.count('attempts', { outcome: 'confirmed' })).toBe(1)
  })

  test('results of claims that were taken away are not written, and counted', async () => {
    const { opened, open } = latch()
    const seen: Delivery[] = []
    const slow = createHandlerDestination('stock', async (delivery) => {
      seen.push(delivery)
      await opened
    })
    await insert(numbered(1, { key: 'k' }), numbered(2, { key: 'k' }))
    const dispatcher = await dispatch([slow])
    await eventually(() => expect(seen).toHaveLength(1))
    // What its successors do when they bury it, and another relay right after.
    dispatcher.relay = undefined
    await fixture.pool.query(
      `update postcommit.delivery set lease_token = gen_random_uuid(), lease_owner = 77 where lease_token is not null`,
    )
    open()
    await eventually(async () => expect(await dispatcher.count('fencedWrites')).toBe(1))
    expect(await states()).toEqual(['pending', 'held'])
    expect(await columns('lease_owner')).toEqual([{ lease_owner: '77' }, { lease_owner: null }])
  })
})

describe('crash points', () => {
  test('a claim whose answer is lost is given back and made again, not waited for until it runs out', async () => {
    const stock = await service()
    await insert(...many(20, (n) => numbered(n)))
    armFailpoints('dispatcher.after_claim:throw')
    await dispatch([impatient('stock', stock.url)])
    await allConfirmed(3000)
    expect(stock.calls).toHaveLength(20)
    expect(new Set((await columns('attempts')).map(({ attempts }) => attempts))).toEqual(new Set([0]))
  })

  test('after a response: it is delivered once more', async () => {
    const stock = await service()
    await insert(...many(5, (n) => numbered(n)))
    armFailpoints('dispatcher.after_response:throw')
    await dispatch([impatient('stock', stock.url)])
    await allConfirmed(3000)
    expect(stock.calls).toHaveLength(6)
  })

  test('after the results are written: nothing happens twice', async () => {
    const stock = await service()
    await insert(...many(5, (n) => numbered(n)))
    armFailpoints('dispatcher.after_record:throw')
    await dispatch([impatient('stock', stock.url)])
    await allConfirmed(3000)
    // What comes after them has been delivered, and none of them again.
    await insert(numbered(5))
    await allConfirmed()
    expect(stock.calls).toHaveLength(6)
  })
})
