import { createRelay } from '@postcommit/relay'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { History } from '../../../relay/membership/history.ts'
import { join, type Membership } from '../../../relay/membership/membership.ts'
import { RelayNotice } from '../../../relay/relay-notice.ts'
import { claimDue } from '../../../relay/store/delivery/claim-due.ts'
import { takeShard } from '../../../relay/store/log/take-shard.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'

const log = pino({ level: 'silent' })
let db: TestDatabase
const members: Membership[] = []

beforeEach(async () => {
  db = await database()
})
afterEach(async () => {
  await Promise.all(members.splice(0).map((member) => member.leave()))
  await db.drop()
})

async function enter(name: string, leaseMs = 10_000, onNotify = () => undefined): Promise<Membership> {
  const member = await join({
    source: 'main',
    database: { connectionString: db.url },
    identity: { name, version: '0', destinations: [] },
    leaseMs,
    log,
    history: new History({ source: 'main', log, retentionMs: 60_000 }),
    onNotify,
    onShards: () => undefined,
  })
  members.push(member)
  return member
}

const names = async () =>
  (await db.pool.query('select name from postcommit.relay order by id')).rows.map(({ name }) => name)

describe('membership', () => {
  test('a notice of its own does not wake a relay: it has woken its loops before; it wakes the others', async () => {
    const woken: string[] = []
    const told = (name: string) => (): undefined => void woken.push(name)
    const one = await enter('one', 10_000, told('one'))
    await enter('two', 10_000, told('two'))
    const notice = new RelayNotice(db.pool, () => one.id)
    notice.give()
    await eventually(async () => expect(woken).toEqual(['two']))
    await createOutbox({ db: db.pool }).commit((_, message) => void message.call('stock', '/', 1))
    await eventually(async () => expect(woken.toSorted()).toEqual(['one', 'two', 'two']))
  })

  test('a relay whose connection is gone is buried at once: its shards and claims are free', async () => {
    const dead = await enter('dead')
    await takeShard(db.pool, 0, dead.id)
    await createOutbox({ db: db.pool, wake: 'off' }).commit((_, message) => void message.call('stock', '/', 1))
    const slots = [{ destination: 'stock', free: 5 }]
    const token = '00000000-0000-4000-8000-000000000001'
    await claimDue(db.pool, dead.id, token, 60_000, slots)
    await dead.client.end()
    await enter('survivor')
    await eventually(async () => expect(await names()).toEqual(['survivor']), { timeoutMs: 2000 })
    const { rows } = await db.pool.query(
      `select owner, epoch, lease_token, greatest(due_at, lease_until) <= clock_timestamp() as due from postcommit.position, postcommit.delivery`,
    )
    expect(rows).toEqual([{ owner: null, epoch: '2', lease_token: null, due: true }])
  })

  test('a burial also frees what a claim took that was under way at an earlier one', async () => {
    const dead = await enter('dead')
    await createOutbox({ db: db.pool, wake: 'off' }).commit((_, message) => void message.call('stock', '/', 1))
    const token = '00000000-0000-4000-8000-000000000001'
    await claimDue(db.pool, dead.id, token, 60_000, [{ destination: 'stock', free: 5 }])
    await db.pool.query('update postcommit.claim set relay = 0')
    await dead.client.end()
    await enter('survivor')
    await eventually(async () => expect(await names()).toEqual(['survivor']), { timeoutMs: 2000 })
    expect((await db.pool.query('select lease_token from postcommit.delivery')).rows).toEqual([{ lease_token: null }])
    expect((await db.pool.query('select from postcommit.claim')).rows).toEqual([])
  })

  test('a relay that does not renew is buried when its lease is over, and finds out', async () => {
    const slow = await enter('slow', 1500)
    await db.pool.query(`update postcommit.relay set lease_until = clock_timestamp() - interval '1 second'`)
    await enter('survivor')
    expect(await slow.lost).toMatch(/terminat|dead|ended/)
    await eventually(async () => expect(await names()).toEqual(['survivor']))
  })

  test('a buried relay takes no shard and claims nothing', async () => {
    const gone = await enter('gone')
    await db.pool.query('delete from postcommit.relay')
    await createOutbox({ db: db.pool, wake: 'off' }).commit((_, message) => void message.call('stock', '/', 1))
    expect(await takeShard(db.pool, 0, gone.id)).toBeUndefined()
    await claimDue(db.pool, gone.id, '00000000-0000-4000-8000-000000000001', 60_000, [
      { destination: 'stock', free: 5 },
    ])
    const { rows } = await db.pool.query('select lease_owner from postcommit.delivery')
    expect(rows).toEqual([{ lease_owner: null }])
  })

  test('leaving gives everything back', async () => {
    const member = await enter('leaver')
    await takeShard(db.pool, 0, member.id)
    await member.leave()
    expect(await names()).toEqual([])
    expect((await db.pool.query('select owner from postcommit.position')).rows).toEqual([{ owner: null }])
  })

  test('a relay waits for a database that is not ready, and says why', async () => {
    await using empty = await database({ migrated: false })
    const relay = createRelay({ db: empty.url, log })
    const starting = relay.start()
    await eventually(() => expect(relay.health().sources[0]?.problem).toContain('Run: postcommit migrate'))
    await relay.stop()
    await starting
  })
})
