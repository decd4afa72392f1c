import { Kysely, PostgresDialect } from 'kysely'
import { createOutbox, type MessageDraft } from 'postcommit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { objectNames } from '../../../relay/commands/doctor/check-schema.ts'
import { parseSnapshot } from '../../../relay/engine/snapshot.ts'
import { countDeliveries } from '../../../relay/store/delivery/count-deliveries.ts'
import { selectAttempts } from '../../../relay/store/delivery/select-attempts.ts'
import { selectAttemptsAfter } from '../../../relay/store/delivery/select-attempts-after.ts'
import { selectConfirmedAfter } from '../../../relay/store/delivery/select-confirmed-after.ts'
import { countDefaultPartition } from '../../../relay/store/log/count-default-partition.ts'
import { selectPositions } from '../../../relay/store/log/select-positions.ts'
import { selectPublishedBetween } from '../../../relay/store/log/select-published-between.ts'
import { selectTailStart } from '../../../relay/store/log/select-tail-start.ts'
import { selectRelays } from '../../../relay/store/member/select-relays.ts'
import { listMessages, type MessageFilter } from '../../../relay/store/message/list-messages.ts'
import { selectDeliveriesOfGid } from '../../../relay/store/message/select-deliveries-of-gid.ts'
import { selectGidClaim } from '../../../relay/store/message/select-gid-claim.ts'
import { selectLogOfGid } from '../../../relay/store/message/select-log-of-gid.ts'
import { selectMissingObjects } from '../../../relay/store/server/select-missing-objects.ts'
import { selectMissingPrivileges } from '../../../relay/store/server/select-missing-privileges.ts'
import { selectOldTransactions } from '../../../relay/store/server/select-old-transactions.ts'
import { selectServerSettings } from '../../../relay/store/server/select-server-settings.ts'
import type { Tables } from '../../../relay/store/tables.ts'
import { selectWaitingTopics } from '../../../relay/store/topic/select-waiting-topics.ts'
import { database, type TestDatabase } from '../../support/database.ts'

let db: TestDatabase
let kysely: Kysely<Tables>

beforeAll(async () => {
  db = await database()
  kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: db.pool }) })
})
afterAll(() => db.drop())
afterEach(() =>
  db.pool.query(`truncate postcommit.outbox, postcommit.delivery, postcommit.relay, postcommit.barrier cascade;
update postcommit.position set snapshot = '1:1:', low = 0, owner = null, window_snapshot = null, window_id = null`),
)

async function commit(add: (message: MessageDraft) => unknown, gid?: string): Promise<string> {
  const outbox = createOutbox({ db: db.pool, wake: 'off' })
  const committed = await outbox.commit((_, message) => add(message), gid === undefined ? {} : { gid })
  return committed.gid
}

/** What a publisher does when everything visible has been acknowledged. */
const handOnEverything = () => db.pool.query('update postcommit.position set snapshot = pg_current_snapshot()')

const list = (filter: MessageFilter, limit = 50) => listMessages(kysely, filter, limit)
const shown = async (filter: MessageFilter) => (await list(filter)).map(({ target, state }) => `${target} ${state}`)

describe('listMessages', () => {
  test('tells published from waiting rows of the log, and shows what was set aside once', async () => {
    await commit((message) => message.publish('a.one', 1))
    await commit((message) => message.publish('a.two', 2))
    await db.pool.query(`insert into postcommit.delivery (id, gid, branch, destination, target, slot, payload, last_error)
select id, gid, branch, 'nats', topic, slot, payload, 'no stream takes a.two' from postcommit.outbox where topic = 'a.two'`)
    await handOnEverything()
    await commit((message) => message.publish('a.three', 3))
    expect(await shown({})).toEqual(['a.three waiting', 'a.two pending', 'a.one published'])
  })

  test('counts the finished part of a large window as published', async () => {
    await commit((message) => message.publish('a.one', 1).publish('a.two', 2))
    await db.pool.query(`update postcommit.position set window_snapshot = pg_current_snapshot(),
window_id = (select min(id) from postcommit.outbox)`)
    expect(await shown({})).toEqual(['a.two waiting', 'a.one published'])
    expect(await shown({ states: ['waiting'] })).toEqual(['a.two waiting'])
    expect(await shown({ states: ['published'] })).toEqual(['a.one published'])
  })

  test.each<[string, MessageFilter, string[]]>([
    ['state', { states: ['dead', 'held'] }, ['/deduct held', '/deduct dead']],
    ['state of the log', { states: ['waiting'] }, ['order.paid waiting', 'order.placed waiting']],
    ['destination', { destination: 'stock' }, ['/deduct held', '/deduct dead']],
    ['the broker as destination', { destination: 'nats' }, ['order.paid waiting', 'order.placed waiting']],
    ['pattern', { target: 'order.*' }, ['order.paid waiting', 'order.placed waiting']],
    ['pattern with nothing special but *', { target: 'order_placed' }, []],
    ['key', { key: 'k2' }, ['order.paid waiting']],
    ['gid', { gid: 'chosen-gid' }, ['order.paid waiting']],
    ['time', { sinceMs: 60_000, states: ['dead'] }, ['/deduct dead']],
    ['a time when nothing was', { sinceMs: 0 }, []],
  ])('filters by %s', async (_, filter, expected) => {
    await commit((message) => message.call('stock', '/deduct', 1, { key: 'k1' }))
    await commit((message) => message.call('stock', '/deduct', 2, { key: 'k1' }))
    await db.pool.query(`update postcommit.delivery set state = case when payload = '1' then 'dead' else 'held' end`)
    await commit((message) => message.publish('order.placed', 3, { key: 'k1' }))
    await commit((message) => message.publish('order.paid', 4, { key: 'k2' }), 'chosen-gid')
    expect(await shown(filter)).toEqual(expected)
  })

  test('pages by id over both tables, without gap or repetition', async () => {
    for (let n = 0; n < 7; n++) {
      await commit((message) => (n % 2 === 0 ? message.publish(`n.${n}`, n) : message.call('stock', `/n/${n}`, n)))
    }
    const seen: string[] = []
    for (let before: string | undefined; ; ) {
      const page = await list(before === undefined ? {} : { before }, 3)
      seen.push(...page.map(({ target }) => target))
      before = page.at(-1)?.id
      if (page.length < 3) break
    }
    expect(seen).toEqual(['n.6', '/n/5', 'n.4', '/n/3', 'n.2', '/n/1', 'n.0'])
  })
})

describe('one gid', () => {
  test('in the log: within a time, everywhere, and with the relay that has it before it', async () => {
    const gid = await commit((message) => message.publish('a.b', { n: 1 }))
    await db.pool.query(`insert into postcommit.relay (name, version, lease_until) values ('r1', '0', 'infinity')`)
    await db.pool.query('update postcommit.position set owner = (select max(id) from postcommit.relay)')
    const now = Date.now()
    const within = { fromMs: now - 60_000, toMs: now + 60_000 }
    const row = { topic: 'a.b', branch: 1, payload: '{"n":1}', bodyBytes: null, handedOn: false, owner: 'r1' }
    expect(await selectLogOfGid(db.pool, gid, within)).toMatchObject([row])
    expect(await selectLogOfGid(db.pool, gid, undefined)).toMatchObject([row])
    expect(await selectLogOfGid(db.pool, gid, { fromMs: now - 120_000, toMs: now - 60_000 })).toEqual([])
    await handOnEverything()
    expect(await selectLogOfGid(db.pool, gid, undefined)).toMatchObject([{ handedOn: true }])
  })

  test('among the deliveries: the head that holds it back, and who has claimed it', async () => {
    const first = await commit((message) => message.call('stock', '/a', 1, { key: 'k' }))
    const second = await commit((message) => message.call('stock', '/b', 2, { key: 'k' }))
    await db.pool.query(`insert into postcommit.relay (name, version, lease_until) values ('r1', '0', 'infinity')`)
    await db.pool.query(
      `update postcommit.delivery set lease_token = gen_random_uuid(),
lease_owner = (select max(id) from postcommit.relay), lease_until = clock_timestamp() + interval '1 minute' where gid = $1`,
      [first],
    )
    expect(await selectDeliveriesOfGid(db.pool, first)).toMatchObject([
      { claimedBy: 'r1', headGid: null, target: '/a' },
    ])
    expect(await selectDeliveriesOfGid(db.pool, second)).toMatchObject([
      { claimedBy: null, headGid: first, headBranch: 1, headState: 'pending' },
    ])
    await db.pool.query(
      `update postcommit.delivery set state = 'confirmed', settled_at = clock_timestamp(),
lease_token = null, lease_owner = null, lease_until = null where gid = $1`,
      [first],
    )
    expect(await selectDeliveriesOfGid(db.pool, second)).toMatchObject([{ headGid: null }])
  })

  test('that the caller chose: when it was committed', async () => {
    const drawn = await commit((message) => message.publish('a.b', 1))
    await commit((message) => message.publish('a.b', 1), 'mine')
    expect(await selectGidClaim(db.pool, 'mine')).toBeInstanceOf(Date)
    expect(await selectGidClaim(db.pool, drawn)).toBeUndefined()
  })
})

describe('counting', () => {
  test('deliveries by destination and state, settled ones left out', async () => {
    for (const n of [1, 2, 3, 4]) await commit((message) => message.call('stock', '/a', n, { key: 'k' }))
    await commit((message) => message.call('mail', '/a', 5))
    await db.pool.query(`update postcommit.delivery set state = case payload when '1' then 'confirmed' when '2' then 'dead'
else case destination when 'stock' then 'held' else 'pending' end end,
settled_at = case payload when '1' then clock_timestamp() end`)
    expect(await countDeliveries(db.pool)).toMatchObject([
      { destination: 'mail', state: 'pending', count: 1 },
      { destination: 'stock', state: 'dead', count: 1 },
      { destination: 'stock', state: 'held', count: 2 },
    ])
  })

  test('rows of the default partition', async () => {
    await db.pool.query(`insert into postcommit.outbox (id, gid, branch, topic, slot, payload)
values (900000000000, 'g', 1, 'a.b', 0, '1')`)
    expect(await countDefaultPartition(db.pool)).toBe(1)
  })

  test('topics that wait, in the log and set aside', async () => {
    await commit((message) => message.publish('gone.before', 1))
    await handOnEverything()
    await commit((message) => message.publish('a.b', 1).publish('a.b', 2))
    await db.pool.query(`insert into postcommit.delivery (gid, branch, destination, target, slot, payload)
values ('g', 1, 'nats', 'c.d', 0, '1')`)
    expect((await selectWaitingTopics(db.pool)).toSorted()).toEqual(['a.b', 'c.d'])
  })
})

describe('relays and positions', () => {
  test('a relay is alive while its session holds its lock', async () => {
    const client = await db.pool.connect()
    try {
      const { rows } = await client.query<{ id: string }>(
        `insert into postcommit.relay (name, version, lease_until) values ('r', '1', clock_timestamp() + '1 min') returning id`,
      )
      const id = rows[0]?.id
      expect(await selectRelays(db.pool)).toMatchObject([{ name: 'r', alive: false }])
      await client.query('select pg_advisory_lock(810736, $1::int)', [id])
      expect(await selectRelays(db.pool)).toMatchObject([{ name: 'r', alive: true }])
      await client.query('select pg_advisory_unlock(810736, $1::int)', [id])
    } finally {
      client.release()
    }
  })

  test('positions name their owner', async () => {
    await db.pool.query(`insert into postcommit.relay (name, version, lease_until) values ('r9', '0', 'infinity')`)
    await db.pool.query('update postcommit.position set owner = (select max(id) from postcommit.relay)')
    expect(await selectPositions(db.pool)).toMatchObject([{ shard: 0, slotFirst: 0, slotLast: 63, owner: 'r9' }])
  })
})

describe('what tail reads', () => {
  test('attempts after an id, with their messages', async () => {
    const gid = await commit((message) => message.call('stock', '/a', 1))
    const { attemptId } = await selectTailStart(db.pool)
    await db.pool.query(`insert into postcommit.attempt (delivery_id, event, attempt, detail, actor)
select id, 'failed', 1, 'answered 500', 'r1' from postcommit.delivery`)
    const found = await selectAttemptsAfter(db.pool, attemptId, 10)
    expect(found).toMatchObject([{ gid, destination: 'stock', event: 'failed', attempt: 1, detail: 'answered 500' }])
    expect(await selectAttemptsAfter(db.pool, found[0]?.id ?? '', 10)).toEqual([])
    const [delivery] = await selectDeliveriesOfGid(db.pool, gid)
    expect(await selectAttempts(db.pool, [delivery?.id ?? ''], 10)).toMatchObject([{ event: 'failed', actor: 'r1' }])
  })

  test('confirmations after a moment', async () => {
    const { now } = await selectTailStart(db.pool)
    const gid = await commit((message) => message.call('stock', '/a', 1))
    expect(await selectConfirmedAfter(db.pool, now, 10)).toEqual([])
    await db.pool.query(`update postcommit.delivery set state = 'confirmed', settled_at = clock_timestamp()`)
    expect(await selectConfirmedAfter(db.pool, now, 10)).toMatchObject([{ gid, attempts: 0 }])
  })

  test('what was handed on between two positions', async () => {
    await commit((message) => message.publish('a.before', 1))
    await handOnEverything()
    const [from] = await selectPositions(db.pool)
    await commit((message) => message.publish('a.between', 2))
    await handOnEverything()
    const [until] = await selectPositions(db.pool)
    await commit((message) => message.publish('a.after', 3))
    if (from === undefined || until === undefined) throw new Error('there is one shard')
    const range = { after: parseSnapshot(from.snapshot), until: until.snapshot, low: '0', slotFirst: 0, slotLast: 63 }
    expect(await selectPublishedBetween(db.pool, range, 10)).toMatchObject([{ topic: 'a.between' }])
  })
})

describe('what doctor reads', () => {
  test('tables and indexes that are missing', async () => {
    await using other = await database()
    expect(objectNames()).toEqual(expect.arrayContaining(['outbox', 'delivery_due', 'position', 'relay']))
    expect(await selectMissingObjects(other.pool, objectNames())).toEqual([])
    // As an index is left by CREATE INDEX CONCURRENTLY that did not finish.
    await other.pool.query(
      `update pg_index set indisvalid = false where indexrelid = 'postcommit.delivery_gid'::regclass`,
    )
    expect(await selectMissingObjects(other.pool, objectNames())).toEqual(['delivery_gid'])
    await other.pool.query(
      `update pg_index set indisvalid = true where indexrelid = 'postcommit.delivery_gid'::regclass`,
    )
    await other.pool.query('drop index postcommit.delivery_due; drop table postcommit.attempt')
    expect(await selectMissingObjects(other.pool, objectNames())).toEqual([
      'attempt',
      'attempt_delivery',
      'delivery_due',
    ])
  })

  test('rights that a user lacks', async () => {
    const role = `limited_${db.name}`
    await db.pool.query(`create role ${role} login; grant usage on schema postcommit to ${role};
grant select on all tables in schema postcommit to ${role}`)
    const client = await db.pool.connect()
    try {
      await client.query(`set role ${role}`)
      const missing = await selectMissingPrivileges(client)
      expect(missing).toContain('update on position')
      expect(missing).not.toContain('select on outbox')
    } finally {
      await client.query('reset role')
      client.release()
      await db.pool.query(`drop owned by ${role}; drop role ${role}`)
    }
    expect(await selectMissingPrivileges(db.pool)).toEqual([])
  })

  test('transactions that are open for long', async () => {
    const client = await db.pool.connect()
    try {
      await client.query('begin isolation level repeatable read; select 1')
      expect(await selectOldTransactions(db.pool, 60_000)).toEqual([])
      expect(await selectOldTransactions(db.pool, 0)).not.toEqual([])
    } finally {
      await client.query('rollback')
      client.release()
    }
  })

  test('settings of the session', async () => {
    const settings = await selectServerSettings(db.pool)
    expect(settings).toMatchObject({ synchronousCommit: 'on', autovacuum: true, encrypted: false })
    expect(Math.abs(settings.nowMs - Date.now())).toBeLessThan(5000)
  })
})

test('the tables of composed queries are those of the migrations', async () => {
  const columns = {
    outbox: ['branch', 'created_at', 'gid', 'id', 'key', 'slot', 'topic'],
    delivery: [
      'attempts',
      'branch',
      'created_at',
      'destination',
      'due_at',
      'gid',
      'id',
      'key',
      'last_error',
      'last_status',
      'lease_owner',
      'lease_until',
      'settled_at',
      'state',
      'target',
    ],
    global_transaction: [
      'asked',
      'check_destination',
      'created_at',
      'due_at',
      'finished_at',
      'gid',
      'id',
      'last_error',
      'lease_owner',
      'mode',
      'paused_reason',
      'rollback_reason',
      'run_by',
      'status',
      'tenant',
      'updated_at',
    ],
    check_outage: ['destination', 'last_error', 'since'],
  } satisfies {
    [Name in keyof Tables as Name extends `postcommit.${infer Table}` ? Table : never]: (keyof Tables[Name])[]
  }
  for (const [table, names] of Object.entries(columns)) {
    const { rows } = await db.pool.query<{ name: string }>(
      `select column_name as name from information_schema.columns
where table_schema = 'postcommit' and table_name = $1 and column_name = any($2) order by 1`,
      [table, names],
    )
    expect(rows.map(({ name }) => name)).toEqual(names)
  }
})
