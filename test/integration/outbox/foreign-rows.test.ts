import { randomUUID } from 'node:crypto'
import type { Relay, RelayOptions } from '@postcommit/relay'
import { createOutbox } from 'postcommit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { requeueDeadLetters } from '../../../relay/store/delivery/requeue-dead-letters.ts'
import { selectDeadLetters } from '../../../relay/store/delivery/select-dead-letters.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { notedAct } from '../../support/deliveries.ts'
import { eventually } from '../../support/eventually.ts'
import { allowForeignRows, FOREIGN_PUBLISHES, type ForeignRow, insertForeign } from '../../support/foreign-rows.ts'
import { type HttpService, httpService } from '../../support/http-service.ts'
import { nats, type TestNats, type TestStream } from '../../support/nats.ts'
import { testRelays } from '../../support/test-relays.ts'

// A role that may insert rows must not gain the rights of the relay, whatever it writes; and nothing that it writes may
// stop the messages of others.
let db: TestDatabase
let broker: TestNats
let stream: TestStream
let heard: Set<string>
const relays = testRelays()

beforeEach(async () => {
  db = await database()
  await allowForeignRows(db.pool)
  broker = await nats()
  stream = await broker.freshStream('foreign')
  heard = new Set()
  broker.connection.subscribe('>', { callback: (_, { subject }) => void heard.add(subject) })
  await broker.connection.flush()
})
afterEach(async () => {
  await relays.stop()
  await broker.close()
  await db.drop()
})

async function start(options: Partial<RelayOptions> = {}): Promise<Relay> {
  return await relays.start({
    db: db.url,
    nats: { connection: { servers: broker.url } },
    ...options,
  })
}

const healthy = (n: number): ForeignRow => ({
  gid: `healthy-${n}`,
  branch: 1,
  topic: `${stream.prefix}.ok`,
  key: `k${n % 7}`,
  payload: String(n),
  headers: null,
})

const foreign = (): ForeignRow[] =>
  FOREIGN_PUBLISHES.map(([, part], n) => ({
    gid: `foreign-${n}`,
    branch: 1,
    topic: `${stream.prefix}.bad`,
    key: `bad-${n}`,
    payload: '1',
    headers: null,
    ...part(stream.prefix),
  }))

async function stored(): Promise<{ subject: string; data: string; headers: string[] }[]> {
  const { state } = await stream.manager.streams.info(stream.name)
  const messages = []
  for (let seq = state.first_seq; seq > 0 && seq <= state.last_seq; seq += 1) {
    const message = await stream.manager.streams.getMessage(stream.name, { seq })
    if (message === null) continue
    messages.push({ subject: message.subject, data: message.string(), headers: message.header.keys() })
  }
  return messages
}

/** Nothing of the foreign rows was published: other tests share the server, so only their subjects count. */
function expectSilence(): void {
  const subjects = [...foreign().map(({ topic }) => topic), `${stream.prefix}.b`]
  expect(subjects.filter((subject) => heard.has(subject))).toEqual([])
}

/** Every foreign row is a dead letter with its reason, and its key waits for it. */
async function expectSetAside(ids: readonly string[]): Promise<void> {
  await eventually(
    async () => {
      const letters = await selectDeadLetters(db.pool, { limit: 100 })
      const reasons = new Map(letters.map(({ id, lastError }) => [id, lastError]))
      for (const [n, [name, , reason]] of FOREIGN_PUBLISHES.entries()) {
        expect(reasons.get(ids[n] ?? ''), name).toMatch(reason)
      }
      expect(letters).toHaveLength(FOREIGN_PUBLISHES.length)
    },
    { timeoutMs: 30_000 },
  )
}

const payloads = async () =>
  (await stored()).filter(({ subject }) => subject.endsWith('.ok')).map(({ data }) => Number(data))
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n)
const sorted = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b)

describe('rows of the log', () => {
  test('what no service could have written never reaches the broker, and stops nobody', async () => {
    await start()
    const rows = foreign()
    const ids: string[] = []
    for (const [n, row] of rows.entries()) {
      await insertForeign(db.pool, [healthy(n)])
      ids.push(...(await insertForeign(db.pool, [row])))
    }
    await eventually(async () => expect(sorted(await payloads())).toEqual(upTo(rows.length)), { timeoutMs: 30_000 })
    await expectSetAside(ids)
    expect(await stored()).toHaveLength(rows.length)
    expectSilence()
  })

  test('in the pages of a backlog too', { timeout: 60_000 }, async () => {
    const rows = foreign()
    const ids: string[] = []
    for (const [n, row] of rows.entries()) {
      await db.pool.query(
        `insert into postcommit.outbox (gid, branch, topic, key, slot, payload)
select 'many-' || n, 1, $1, 'k' || n % 50, (hashtextextended('k' || n % 50, 0) & 63)::smallint, n::text
from generate_series($2::int, $2::int + 199) n`,
        [`${stream.prefix}.ok`, n * 200],
      )
      ids.push(...(await insertForeign(db.pool, [row])))
    }
    await start()
    await expectSetAside(ids)
    const count = rows.length * 200
    await eventually(async () => expect((await stream.manager.streams.info(stream.name)).state.messages).toBe(count), {
      timeoutMs: 30_000,
    })
    expectSilence()
  })

  test('a dead letter of the log holds its key, and is one again when it is requeued as it is', async () => {
    await start()
    const [id = ''] = await insertForeign(db.pool, [{ ...healthy(0), key: 'held', headers: '{"nats-rollup":"all"}' }])
    await eventually(async () => expect(await selectDeadLetters(db.pool, { limit: 9 })).toHaveLength(1))
    await insertForeign(db.pool, [
      { ...healthy(1), key: 'held' },
      { ...healthy(2), key: 'other' },
    ])
    await eventually(async () => expect(await payloads()).toEqual([2]))
    await requeueDeadLetters(db.pool, [id], notedAct('anna', 'try'))
    await eventually(async () => {
      const { rows } = await db.pool.query(
        'select event, detail from postcommit.attempt where delivery_id = $1 order by id',
        [id],
      )
      expect(rows.map(({ event }) => event)).toEqual(['dead', 'requeued', 'dead'])
      for (const { event, detail } of rows) if (event === 'dead') expect(detail).toMatch(/nats-rollup/)
    })
    expect(await payloads()).toEqual([2])
  })

  test('a row without a time does not stop the log', async () => {
    await db.pool.query(
      `insert into postcommit.outbox (gid, branch, topic, slot, payload, created_at)
values ('g1', 1, $1, 0, '0', 'infinity'), ('g2', 1, $1, 0, '1', '-infinity')`,
      [`${stream.prefix}.ok`],
    )
    await start()
    await eventually(async () => expect(await payloads()).toEqual([0, 1]))
  })
})

describe('rows of delivery', () => {
  const insert = async (destination: string, target: string, row: ForeignRow): Promise<string> => {
    const { rows } = await db.pool.query<{ id: string }>(
      `insert into postcommit.delivery (gid, branch, destination, target, key, slot, payload, headers)
values ($1, $2, $3, $4, $5, 0, $6, $7) returning id`,
      [row.gid, row.branch, destination, target, row.key, row.payload, row.headers],
    )
    return rows[0]?.id ?? ''
  }

  /** A key that no index takes cannot be inserted here by anybody. */
  const isStorable = ({ key }: ForeignRow) => (key?.length ?? 0) < 2000

  test('delayed publishes', async () => {
    await start()
    const ids = new Map<string, RegExp>()
    for (const [n, row] of foreign().entries()) {
      const [, , reason = /never/] = FOREIGN_PUBLISHES[n] ?? []
      if (isStorable(row)) ids.set(await insert('nats', row.topic, row), reason)
      await insert('nats', `${stream.prefix}.ok`, healthy(n))
    }
    await eventually(async () => expect(sorted(await payloads())).toEqual(upTo(FOREIGN_PUBLISHES.length)), {
      timeoutMs: 30_000,
    })
    await expectDead(ids)
    expectSilence()
  })

  test('a delayed message that the SDK has written keeps its key', async () => {
    await start()
    const outbox = createOutbox({ db: db.pool })
    await outbox.commit((_, message) => message.publish(`${stream.prefix}.ok`, 0, { key: 'ä b', deliverAfter: 1 }))
    await eventually(async () => expect(await payloads()).toEqual([0]))
    expect((await stored())[0]?.headers).toContain('postcommit-key')
  })

  test('calls', async () => {
    await using stock: HttpService = await httpService(() => 200)
    await start({ destinations: { stock: { url: `${stock.url}/base` } } })
    const ids = new Map<string, RegExp>()
    const common = { gid: 'g', branch: 1, topic: '', key: null, payload: '1', headers: null }
    const targets: [string, RegExp][] = [
      ['//internal/x', /path/],
      ['/a/../../admin', /path/],
      ['relative', /path/],
      ['/a HTTP/1.1\r\nhost: internal', /path/],
      ['', /path/],
    ]
    for (const [target, reason] of targets)
      ids.set(await insert('stock', target, { ...common, gid: randomUUID() }), reason)
    for (const [n, row] of foreign().entries()) {
      const [name = '', , reason = /never/] = FOREIGN_PUBLISHES[n] ?? []
      if (row.topic.endsWith('.bad') && isStorable(row)) ids.set(await insert('stock', '/bad', row), reason)
      expect(name).not.toBe('')
    }
    for (const n of upTo(5)) await insert('stock', '/ok', healthy(n))
    await eventually(async () => expect(stock.calls).toHaveLength(5), { timeoutMs: 30_000 })
    await expectDead(ids)
    expect(new Set(stock.calls.map(({ path }) => path))).toEqual(new Set(['/base/ok']))
  })

  async function expectDead(ids: ReadonlyMap<string, RegExp>): Promise<void> {
    await eventually(
      async () => {
        const letters = await selectDeadLetters(db.pool, { limit: 100 })
        for (const { id, lastError } of letters) expect(lastError).toMatch(ids.get(id) ?? /never/)
        expect(letters).toHaveLength(ids.size)
      },
      { timeoutMs: 30_000 },
    )
  }
})
