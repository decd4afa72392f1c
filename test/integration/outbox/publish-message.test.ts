import { createOutbox } from 'postcommit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'

// A transaction with a single message to publish is written by another statement than one with several. What both
// promise is tested in outbox.test.ts; here, that they agree.
let db: TestDatabase

beforeAll(async () => {
  db = await database()
})
afterAll(() => db.drop())

const single = [{ topic: 'a.b', key: 'k' }]
const several = [...single, ...single]

async function publish(messages: readonly { topic: string; key?: string }[], payload: unknown, gid?: string) {
  const outbox = createOutbox({ db: db.pool, wake: 'off' })
  await outbox.commit(
    async (_, message) => {
      for (const { topic, ...options } of messages) message.publish(topic, payload, options)
    },
    gid === undefined ? {} : { gid },
  )
}

test('one message has the same columns as one of several', async () => {
  const outbox = createOutbox({ db: db.pool, wake: 'off' })
  const headers = { 'x-tenant': 'a' }
  for (const count of [1, 2]) {
    for (const [name, payload] of [
      ['text', { n: 1 }],
      ['bytes', new Uint8Array([0, 255])],
    ] as const) {
      await outbox.commit(async (_, message) => {
        for (let n = 0; n < count; n += 1) message.publish(`columns.${name}`, payload, { key: 'k', headers })
      })
    }
  }
  const { rows } = await db.pool.query(
    `select distinct topic, key, slot, payload, body, headers from postcommit.outbox where topic like 'columns.%' order by topic`,
  )
  const common = { key: 'k', headers: '{"x-tenant":"a"}', slot: expect.any(Number) }
  expect(rows).toEqual([
    { ...common, topic: 'columns.bytes', payload: null, body: Buffer.from([0, 255]) },
    { ...common, topic: 'columns.text', payload: '{"n":1}', body: null },
  ])
})

test('without a key the gid decides the slot', async () => {
  const slots = async (gid: string) =>
    (await db.pool.query('select distinct slot from postcommit.outbox where gid = $1', [gid])).rows
  for (let n = 0; n < 5; n += 1) {
    await publish([{ topic: 'a.b' }], n, `one-${n}`)
    const [row] = await slots(`one-${n}`)
    const { rows } = await db.pool.query('select hashtextextended($1, 0) & 63 as slot', [`one-${n}`])
    expect(row?.slot).toBe(Number(rows[0].slot))
  }
})

test.each([
  ['one message', single, 'several', several],
  ['several messages', several, 'one', single],
])(
  '%s behind another transaction of the same key waits, and draws its id when it goes on',
  async (_, waiter, __, holder) => {
    const client = await db.pool.connect()
    await client.query('begin')
    await createOutbox({ db: db.pool, wake: 'off' }).add(client, (message) => {
      for (const { topic, key } of holder) message.publish(topic, 'held', { key })
    })
    let done = false
    const gid = `waits-${waiter.length}`
    const waiting = publish(waiter, 'waited', gid).then(() => {
      done = true
    })
    const isWaiting = async () =>
      (
        await db.pool.query(
          `select from pg_locks l join pg_database d on d.oid = l.database
where not l.granted and l.locktype = 'advisory' and d.datname = current_database()`,
        )
      ).rowCount
    await eventually(async () => expect(await isWaiting()).toBe(1))
    const waited = !done
    const { rows: drawn } = await db.pool.query('select last_value as id from postcommit.outbox_id')
    await client.query('commit')
    client.release()
    await waiting
    expect(waited).toBe(true)
    const { rows } = await db.pool.query('select min(id) as id from postcommit.outbox where gid = $1', [gid])
    expect(Number(rows[0].id)).toBeGreaterThan(Number(drawn[0].id))
  },
)

test('the xid is drawn before the id: what is read below a transaction that waits has no id of it', async () => {
  // The plan says it: the condition that draws the xid is a filter under the node that makes the row.
  const { rows } = await db.pool.query<{ prosrc: string }>(
    `select prosrc from pg_proc where oid = 'postcommit.publish'::regproc`,
  )
  const statement = /insert[\s\S]*?;/.exec(rows[0]?.prosrc ?? '')?.[0] ?? ''
  const values = ["'g'", '1', "'a.b'", "'k'", "'1'", 'null', 'null']
  const filled = values.reduce((text, value, index) => text.replaceAll(`$${index + 1}`, value), statement)
  const { rows: plan } = await db.pool.query(`explain (verbose, costs off) ${filled}`)
  const text = plan.map((row) => row['QUERY PLAN']).join('\n')
  expect(text).toMatch(/Filter: .*pg_current_xact_id\(\) IS NOT NULL/)
  expect(text).toMatch(/Output: pg_current_xact_id\(\), nextval\(/)
})
