import { describe, expect, test } from 'vitest'
import { discardDeadLetters } from '../../../relay/store/delivery/discard-dead-letters.ts'
import { purgeSettled } from '../../../relay/store/delivery/purge-settled.ts'
import { requeueDeadLetters } from '../../../relay/store/delivery/requeue-dead-letters.ts'
import { selectDeadLetters } from '../../../relay/store/delivery/select-dead-letters.ts'
import { claimFrom, deliveryStates, insertDeliveries, notedAct, useDeliveries } from '../../support/deliveries.ts'

const fixture = useDeliveries()

const act = notedAct('anna@desk', 'the address was wrong')
const attempts = async () =>
  (await fixture.pool.query('select delivery_id, event, attempt, detail, actor from postcommit.attempt order by id'))
    .rows

describe('selectDeadLetters', () => {
  test('lists what is dead, oldest first, page by page', async () => {
    const ids = await insertDeliveries(fixture.pool, [
      { state: 'dead' },
      { state: 'pending' },
      { state: 'dead' },
      { state: 'discarded' },
      { state: 'dead' },
    ])
    const first = await selectDeadLetters(fixture.pool, { limit: 2 })
    expect(first.map(({ id }) => id)).toEqual([ids[0], ids[2]])
    const second = await selectDeadLetters(fixture.pool, { limit: 2, afterId: first.at(-1)?.id })
    expect(second.map(({ id }) => id)).toEqual([ids[4]])
  })

  test('says what waits behind each', async () => {
    await insertDeliveries(fixture.pool, [
      { key: 'k', state: 'dead' },
      { key: 'k', state: 'held' },
      { key: 'k', state: 'pending' },
      { key: 'l', state: 'held' },
      { state: 'dead' },
    ])
    expect((await selectDeadLetters(fixture.pool, { limit: 9 })).map(({ holds }) => holds)).toEqual([2, 0])
  })

  test('can be narrowed to a destination or a gid', async () => {
    const [, mail] = await insertDeliveries(fixture.pool, [{ state: 'dead' }, { state: 'dead', destination: 'mail' }])
    const found = await selectDeadLetters(fixture.pool, { limit: 9, destination: 'mail' })
    expect(found.map(({ id }) => id)).toEqual([mail])
    expect(await selectDeadLetters(fixture.pool, { limit: 9, gid: found[0]?.gid })).toHaveLength(2)
    expect(await selectDeadLetters(fixture.pool, { limit: 9, gid: 'nobody' })).toEqual([])
  })
})

describe('requeueDeadLetters', () => {
  test('makes a dead letter due now, with all its attempts, and says who did it', async () => {
    const [id = ''] = await insertDeliveries(fixture.pool, [{ state: 'dead', attempts: 8, dueInMs: 60_000 }])
    expect(await requeueDeadLetters(fixture.pool, [id], act)).toEqual([id])
    const { deliveries } = await claimFrom(fixture.pool, fixture.relay)
    expect(deliveries).toEqual([expect.objectContaining({ id, attempts: 0 })])
    expect(await attempts()).toEqual([
      { delivery_id: id, event: 'requeued', attempt: 0, detail: 'the address was wrong', actor: 'anna@desk' },
    ])
  })

  test('it keeps its place: before what waits behind it', async () => {
    const [head = '', follower = ''] = await insertDeliveries(fixture.pool, [
      { key: 'k', state: 'dead' },
      { key: 'k', state: 'held' },
    ])
    await requeueDeadLetters(fixture.pool, [head, follower], act)
    expect(await deliveryStates(fixture.pool)).toEqual(['pending', 'held'])
    expect((await claimFrom(fixture.pool, fixture.relay)).deliveries.map(({ id }) => id)).toEqual([head])
  })

  test('touches nothing that is not dead', async () => {
    const ids = await insertDeliveries(fixture.pool, [
      { state: 'pending' },
      { state: 'confirmed' },
      { state: 'discarded' },
    ])
    expect(await requeueDeadLetters(fixture.pool, [...ids, '999999999'], act)).toEqual([])
    expect(await deliveryStates(fixture.pool)).toEqual(['pending', 'confirmed', 'discarded'])
    expect(await attempts()).toEqual([])
  })
})

describe('discardDeadLetters', () => {
  test('gives a dead letter up, says who and why, and lets the next of its key go', async () => {
    const [head = ''] = await insertDeliveries(fixture.pool, [
      { key: 'k', state: 'dead', attempts: 8 },
      { key: 'k', state: 'held' },
      { key: 'k', state: 'held' },
      { key: 'l', state: 'held' },
    ])
    expect(await discardDeadLetters(fixture.pool, [head], act)).toEqual([head])
    expect(await deliveryStates(fixture.pool)).toEqual(['discarded', 'pending', 'held', 'held'])
    expect(await attempts()).toEqual([
      { delivery_id: head, event: 'discarded', attempt: 8, detail: 'the address was wrong', actor: 'anna@desk' },
    ])
  })

  test('several of one key at once release what comes after the last', async () => {
    const ids = await insertDeliveries(fixture.pool, [
      { key: 'k', state: 'dead' },
      { key: 'k', state: 'dead' },
      { key: 'k', state: 'held' },
    ])
    await discardDeadLetters(fixture.pool, ids.slice(0, 2), act)
    expect(await deliveryStates(fixture.pool)).toEqual(['discarded', 'discarded', 'pending'])
  })

  test('does not let anything past a row that was named but is not dead', async () => {
    const ids = await insertDeliveries(fixture.pool, [
      { key: 'k', state: 'dead' },
      { key: 'k', state: 'pending', dueInMs: 60_000 },
      { key: 'k', state: 'held' },
    ])
    expect(await discardDeadLetters(fixture.pool, ids, act)).toEqual(ids.slice(0, 1))
    expect(await deliveryStates(fixture.pool)).toEqual(['discarded', 'pending', 'held'])
  })
})

describe('purgeSettled', () => {
  test('removes what has been settled for longer than the retention, and its story', async () => {
    const [gone = ''] = await insertDeliveries(fixture.pool, [
      { state: 'confirmed', settledMsAgo: 2000 },
      { state: 'discarded', settledMsAgo: 2000 },
      { state: 'confirmed', settledMsAgo: 0 },
      { state: 'dead' },
      { state: 'pending', dueInMs: -100_000 },
      { state: 'held', key: 'k' },
    ])
    await fixture.pool.query(
      `insert into postcommit.attempt (delivery_id, event, attempt, actor) values ($1, 'failed', 1, 'relay 1')`,
      [gone],
    )
    expect(await purgeSettled(fixture.pool, 1000)).toBe(2)
    expect(await deliveryStates(fixture.pool)).toEqual(['confirmed', 'dead', 'pending', 'held'])
    expect(await attempts()).toEqual([])
  })

  test('goes on until nothing is left', async () => {
    await fixture.pool.query(
      `insert into postcommit.delivery (gid, branch, destination, target, slot, payload, state, settled_at)
       select 'g', n, 'stock', '/', 0, '{}', 'confirmed', now() - interval '1 h' from generate_series(1, 11000) n`,
    )
    expect(await purgeSettled(fixture.pool, 1000)).toBe(11_000)
    expect(await deliveryStates(fixture.pool)).toEqual([])
  })
})
