import { describe, expect, test } from 'vitest'
import { claimDue } from '../../../relay/store/delivery/claim-due.ts'
import { releaseClaims } from '../../../relay/store/delivery/release-claims.ts'
import { releaseUnsent } from '../../../relay/store/delivery/release-unsent.ts'
import { selectNextDue } from '../../../relay/store/delivery/select-next-due.ts'
import type { Queryable } from '../../../relay/store/queryable.ts'
import { claimFrom, deliveryStates, insertDeliveries, useDeliveries } from '../../support/deliveries.ts'

const fixture = useDeliveries()

/** Runs `work` with a transaction that stays open for as long, and then ends as told. */
async function meanwhile(end: 'commit' | 'rollback', work: (open: Queryable) => Promise<void>): Promise<void> {
  const client = await fixture.pool.connect()
  await client.query('begin')
  try {
    await work(client)
  } finally {
    await client.query(end)
    client.release()
  }
}

const idsOf = ({ deliveries }: { deliveries: readonly { id: string }[] }) =>
  deliveries.map(({ id }) => id).toSorted((a, b) => Number(a) - Number(b))

describe('claimDue', () => {
  test('takes the oldest due first, as many as are free, and not twice', async () => {
    const [late = '', early = '', later = ''] = await insertDeliveries(fixture.pool, [
      { dueInMs: -100 },
      { dueInMs: -300 },
      { dueInMs: -10 },
    ])
    expect(idsOf(await claimFrom(fixture.pool, fixture.relay, { free: 2 }))).toEqual([late, early])
    expect(idsOf(await claimFrom(fixture.pool, fixture.relay, { free: 2 }))).toEqual([later])
    expect(idsOf(await claimFrom(fixture.pool, fixture.relay, { free: 2 }))).toEqual([])
  })

  test('gives the whole message, and how often it was tried', async () => {
    const [id] = await insertDeliveries(fixture.pool, [
      { key: 'k', target: '/deduct', payload: '{"a":1.0}', headers: '{"tenant":"a"}', attempts: 3 },
    ])
    const { deliveries, held } = await claimFrom(fixture.pool, fixture.relay)
    expect(held).toBe(0)
    expect(deliveries).toEqual([
      expect.objectContaining({
        id,
        branch: 1,
        destination: 'stock',
        target: '/deduct',
        key: 'k',
        payload: '{"a":1.0}',
        body: null,
        headers: '{"tenant":"a"}',
        attempts: 3,
      }),
    ])
  })

  test('takes from several destinations at once, from each what it has room for', async () => {
    await insertDeliveries(fixture.pool, [
      ...Array.from({ length: 5 }, () => ({ destination: 'stock' })),
      ...Array.from({ length: 5 }, () => ({ destination: 'mail' })),
      { destination: 'elsewhere' },
    ])
    const slots = [
      { destination: 'stock', free: 2 },
      { destination: 'mail', free: 4 },
      { destination: 'nothing-there', free: 9 },
    ]
    const { deliveries } = await claimDue(fixture.pool, fixture.relay, crypto.randomUUID(), 1000, slots)
    expect(deliveries.map(({ destination }) => destination).toSorted()).toEqual([
      ...Array.from({ length: 4 }, () => 'mail'),
      ...Array.from({ length: 2 }, () => 'stock'),
    ])
  })

  test('leaves what is not due, settled, held or dead', async () => {
    await insertDeliveries(fixture.pool, [
      { dueInMs: 60_000 },
      { state: 'confirmed' },
      { state: 'dead' },
      { state: 'discarded' },
      { state: 'held', key: 'k' },
    ])
    expect((await claimFrom(fixture.pool, fixture.relay)).deliveries).toEqual([])
  })

  test('what another claims at the same moment is passed over, not waited for', async () => {
    const ids = await insertDeliveries(fixture.pool, [{}, {}])
    await meanwhile('rollback', async (other) => {
      expect(idsOf(await claimFrom(other, fixture.relay, { free: 1 }))).toEqual([ids[0]])
      expect(idsOf(await claimFrom(fixture.pool, fixture.relay))).toEqual([ids[1]])
    })
    expect(idsOf(await claimFrom(fixture.pool, fixture.relay))).toEqual([ids[0]])
  })

  test('many at once share the work without an overlap', async () => {
    const ids = await insertDeliveries(
      fixture.pool,
      Array.from({ length: 300 }, () => ({})),
    )
    const claimed: string[] = []
    const claimAll = async (): Promise<void> => {
      for (;;) {
        const mine = idsOf(await claimFrom(fixture.pool, fixture.relay, { free: 7 }))
        claimed.push(...mine)
        if (mine.length === 0) return
      }
    }
    await Promise.all([claimAll(), claimAll(), claimAll(), claimAll()])
    claimed.push(...idsOf(await claimFrom(fixture.pool, fixture.relay, { free: 300 })))
    expect(claimed.toSorted((a, b) => Number(a) - Number(b))).toEqual(ids)
  })

  test('a claim runs out by the clock of the database', async () => {
    const [id] = await insertDeliveries(fixture.pool, [{}])
    const first = await claimFrom(fixture.pool, fixture.relay, { leaseMs: 150 })
    expect(idsOf(first)).toEqual([id])
    const nextMs = await selectNextDue(fixture.pool, ['stock'])
    expect(nextMs).toBeGreaterThan(0)
    expect(nextMs).toBeLessThanOrEqual(150)
    await fixture.pool.query('select pg_sleep(0.2)')
    const second = await claimFrom(fixture.pool, fixture.relay)
    expect(idsOf(second)).toEqual([id])
    const { rows } = await fixture.pool.query('select lease_token, lease_owner from postcommit.delivery')
    expect(rows).toEqual([{ lease_token: second.token, lease_owner: fixture.relay }])
  })

  test('a claim changes nothing that an index holds', async () => {
    const changed = `select attname from pg_attribute a join pg_index i on i.indrelid = a.attrelid
where a.attrelid = 'postcommit.delivery'::regclass and a.attname like 'lease%'
  and pg_get_indexdef(i.indexrelid) like '%' || a.attname || '%'`
    expect((await fixture.pool.query(changed)).rows).toEqual([])
  })

  test('what was claimed is listed under its token, until the relay has finished with it', async () => {
    await insertDeliveries(fixture.pool, [{}, {}])
    const first = await claimFrom(fixture.pool, fixture.relay, { free: 1 })
    const second = await claimFrom(fixture.pool, fixture.relay)
    const listed = async () => (await fixture.pool.query('select token, relay, deliveries from postcommit.claim')).rows
    expect(await listed()).toEqual(
      [first, second].map((claim) => ({ token: claim.token, relay: fixture.relay, deliveries: idsOf(claim) })),
    )
    await claimDue(fixture.pool, fixture.relay, crypto.randomUUID(), 1000, [{ destination: 'stock', free: 1 }], 0, [
      first.token,
    ])
    expect(await listed()).toMatchObject([{ token: second.token }])
  })

  test('a relay that was buried claims nothing', async () => {
    await insertDeliveries(fixture.pool, [{}])
    await fixture.pool.query('delete from postcommit.relay')
    expect((await claimFrom(fixture.pool, fixture.relay)).deliveries).toEqual([])
  })

  test('does not make the session careless for what comes after', async () => {
    await claimFrom(fixture.pool, fixture.relay)
    const { rows } = await fixture.pool.query('show synchronous_commit')
    expect(rows).toEqual([{ synchronous_commit: 'on' }])
  })
})

describe('claimDue and the order of a key', () => {
  test('takes the head only; the followers are held', async () => {
    const [head] = await insertDeliveries(fixture.pool, [{ key: 'k' }, { key: 'k' }, { key: 'k' }])
    const claimed = await claimFrom(fixture.pool, fixture.relay)
    expect(idsOf(claimed)).toEqual([head])
    expect(claimed.held).toBe(2)
    expect(await deliveryStates(fixture.pool)).toEqual(['pending', 'held', 'held'])
    expect(await claimFrom(fixture.pool, fixture.relay)).toMatchObject({ deliveries: [], held: 0 })
  })

  test.each(['pending', 'held', 'dead'] as const)('a head that is %s and not due holds the others', async (state) => {
    await insertDeliveries(fixture.pool, [
      { key: 'k', state, dueInMs: 60_000 },
      { key: 'k', dueInMs: -5000 },
    ])
    expect(await claimFrom(fixture.pool, fixture.relay)).toMatchObject({ deliveries: [], held: 1 })
    expect(await deliveryStates(fixture.pool)).toEqual([state, 'held'])
  })

  test.each(['confirmed', 'discarded'] as const)('a head that is %s holds nobody', async (state) => {
    const [, second] = await insertDeliveries(fixture.pool, [{ key: 'k', state }, { key: 'k' }])
    expect(idsOf(await claimFrom(fixture.pool, fixture.relay))).toEqual([second])
  })

  test('an earlier row goes first even if it fell due later', async () => {
    const [first] = await insertDeliveries(fixture.pool, [
      { key: 'k', dueInMs: -10 },
      { key: 'k', dueInMs: -5000 },
    ])
    expect(idsOf(await claimFrom(fixture.pool, fixture.relay))).toEqual([first])
  })

  test('a blocked key holds back neither other keys, nor messages without one, nor other destinations', async () => {
    const [, , other, none, elsewhere] = await insertDeliveries(fixture.pool, [
      { key: 'k', state: 'dead' },
      { key: 'k' },
      { key: 'l' },
      {},
      { key: 'k', destination: 'mail' },
    ])
    expect(idsOf(await claimFrom(fixture.pool, fixture.relay))).toEqual([other, none])
    expect(idsOf(await claimFrom(fixture.pool, fixture.relay, { destination: 'mail' }))).toEqual([elsewhere])
  })

  test('a thousand followers that are due longer than anything else are dug through', async () => {
    const ids = await insertDeliveries(fixture.pool, [
      { key: 'k', state: 'dead' },
      ...Array.from({ length: 1000 }, () => ({ key: 'k', dueInMs: -60_000 })),
      ...Array.from({ length: 5 }, () => ({})),
    ])
    expect(await claimFrom(fixture.pool, fixture.relay, { free: 2 })).toMatchObject({ deliveries: [], held: 2 })
    expect(await claimFrom(fixture.pool, fixture.relay, { free: 2, depth: 900 })).toMatchObject({
      deliveries: [],
      held: 900,
    })
    const last = await claimFrom(fixture.pool, fixture.relay, { free: 2, depth: 900 })
    expect(last.held).toBe(98)
    expect(idsOf(last)).toEqual(ids.slice(1001, 1003))
  })

  test('while a head is being settled, its follower neither overtakes it nor becomes held behind it', async () => {
    const [head, follower] = await insertDeliveries(fixture.pool, [{ key: 'k' }, { key: 'k', dueInMs: 100 }])
    await claimFrom(fixture.pool, fixture.relay)
    await fixture.pool.query('select pg_sleep(0.15)')
    await meanwhile('commit', async (settling) => {
      await settling.query({
        text: `update postcommit.delivery set state = 'confirmed', settled_at = now(),
  lease_token = null, lease_owner = null, lease_until = null
where id = $1`,
        values: [head],
      })
      // Held now, it would be held for ever: the settling transaction cannot see it any more.
      expect(await claimFrom(fixture.pool, fixture.relay)).toMatchObject({ deliveries: [], held: 0 })
    })
    expect(idsOf(await claimFrom(fixture.pool, fixture.relay))).toEqual([follower])
  })
})

describe('releaseClaims', () => {
  test('gives back what is still held under the tokens, due now, with no attempt counted', async () => {
    const ids = await insertDeliveries(fixture.pool, [{ attempts: 2 }, { attempts: 2 }, {}])
    const mine = await claimFrom(fixture.pool, fixture.relay, { free: 2 })
    await claimFrom(fixture.pool, fixture.relay)
    expect(await releaseClaims(fixture.pool, [mine.token])).toBe(2)
    const { rows } = await fixture.pool.query(
      'select id, attempts from postcommit.delivery where lease_token is null order by id',
    )
    expect(rows).toEqual([
      { id: ids[0], attempts: 2 },
      { id: ids[1], attempts: 2 },
    ])
    expect(idsOf(await claimFrom(fixture.pool, fixture.relay))).toEqual(ids.slice(0, 2))
  })
})

describe('releaseUnsent', () => {
  test('gives back single rows of a claim, due now, and nothing that somebody else has claimed since', async () => {
    const [first = '', second = '', third = ''] = await insertDeliveries(fixture.pool, [{ attempts: 2 }, {}, {}])
    const mine = await claimFrom(fixture.pool, fixture.relay)
    await fixture.pool.query('update postcommit.delivery set lease_token = gen_random_uuid() where id = $1', [third])
    await releaseUnsent(
      fixture.pool,
      [first, third].map((id) => ({ id, token: mine.token })),
    )
    const { rows } = await fixture.pool.query(
      `select id, attempts, lease_token = $1 as mine, greatest(due_at, lease_until) <= clock_timestamp() as due from postcommit.delivery order by id`,
      [mine.token],
    )
    expect(rows).toEqual([
      { id: first, attempts: 2, mine: null, due: true },
      { id: second, attempts: 0, mine: true, due: false },
      { id: third, attempts: 0, mine: false, due: false },
    ])
  })
})

describe('selectNextDue', () => {
  test('tells when the earliest of the destinations asked for is due', async () => {
    await insertDeliveries(fixture.pool, [
      { dueInMs: 5000 },
      { destination: 'mail', dueInMs: 2000 },
      { destination: 'elsewhere', dueInMs: 10 },
      { state: 'dead', dueInMs: -10 },
    ])
    const ms = await selectNextDue(fixture.pool, ['stock', 'mail', 'nothing-there'])
    expect(ms).toBeGreaterThan(1000)
    expect(ms).toBeLessThanOrEqual(2000)
    expect(await selectNextDue(fixture.pool, ['nothing-there'])).toBeUndefined()
  })
})
