/** What a broker has lost is published again unless it is older than the retention; what waits is sent however old it is. */
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { READER_OPTIONS } from '../../../relay/postgres/sessions.ts'
import { WindowReader } from '../../../relay/publisher/window-reader.ts'
import { insertBrokerMarks } from '../../../relay/store/broker/insert-broker-marks.ts'
import { selectBrokerLosses } from '../../../relay/store/broker/select-broker-losses.ts'
import { selectBrokerMarks } from '../../../relay/store/broker/select-broker-marks.ts'
import { rewindPosition } from '../../../relay/store/log/rewind-position.ts'
import { savePosition } from '../../../relay/store/log/save-position.ts'
import { takeShard } from '../../../relay/store/log/take-shard.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { insertTestRelay } from '../../support/deliveries.ts'

let db: TestDatabase
let client: pg.Client

beforeEach(async () => {
  db = await database()
  client = new pg.Client({ connectionString: db.url, options: READER_OPTIONS })
  await client.connect()
})
afterEach(async () => {
  await client.end()
  await db.drop()
})

const INSERT = `insert into postcommit.outbox (gid, branch, topic, slot, payload) values ('g', 0, 'a.b', 1, $1)`
const insert = async (...payloads: number[]) => {
  for (const payload of payloads) await db.pool.query(INSERT, [payload])
}

async function take() {
  await db.pool.query('update postcommit.position set owner = null')
  const shard = await takeShard(db.pool, 0, await insertTestRelay(db.pool))
  if (shard === undefined) throw new Error('no other relay takes shards in this test')
  return shard
}

/** Reads to the end as a relay does that takes the shard now, and saves as it goes. */
async function handOn(mark = false) {
  const shard = await take()
  const reader = new WindowReader(client, shard)
  const payloads: number[] = []
  // The end of a window that was cut off may be empty, with more behind it.
  for (let empty = 0; empty < 2; ) {
    const { rows, position } = await reader.read()
    payloads.push(...rows.map(({ payload }) => Number(payload)))
    await savePosition(client, 0, shard.epoch, { ...position, ack: undefined }, [])
    empty = rows.length > 0 || reader.inBacklog ? 0 : empty + 1
    const ack = { stream: 'A', sequence: payloads.length, messageId: 'g:1' }
    if (mark && empty === 2) await insertBrokerMarks(db.pool, 0, shard.epoch, position, [ack])
  }
  return payloads
}

async function rewind(expired: number, mark?: string) {
  const { epoch } = await take()
  return await rewindPosition(db.pool, 0, epoch, ['A'], { mark, expired: BigInt(expired) })
}

describe('eight messages were handed on, two wait, and one is in an open transaction', () => {
  let writer: pg.PoolClient

  beforeEach(async () => {
    writer = await db.pool.connect()
    await insert(1, 2, 3, 4, 5)
    // Draws its id here, and commits when all has been taken back.
    await writer.query('begin')
    await writer.query(INSERT, [11])
    await insert(6, 7, 8)
    expect(await handOn()).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    await insert(9, 10)
  })
  afterEach(() => writer.release())

  test.each([
    { expired: 0, again: [1, 2, 3, 4, 5, 6, 7, 8], leftOut: 0 },
    { expired: 3, again: [4, 5, 6, 7, 8], leftOut: 3 },
    // The id of the open transaction.
    { expired: 6, again: [6, 7, 8], leftOut: 5 },
    { expired: 9, again: [], leftOut: 8 },
    // All ids, those of messages that wait included.
    { expired: 11, again: [], leftOut: 8 },
  ])('up to id $expired the log is too old', async ({ expired, again, leftOut }) => {
    expect(await rewind(expired)).toBe(leftOut)
    expect(await handOn()).toEqual([...again, 9, 10])
    await writer.query('commit')
    expect(await handOn()).toEqual([11])
  })

  test('what was left out once is left out when the shard is taken back again', async () => {
    expect(await rewind(5)).toBe(5)
    expect(await rewind(5)).toBe(5)
    expect(await handOn()).toEqual([6, 7, 8, 9, 10])
    await writer.query('commit')
    expect(await handOn()).toEqual([11])
  })
})

test('behind a mark that is still there, the retention leaves out no more than what came after it', async () => {
  await insert(1, 2, 3)
  await handOn(true)
  await insert(4, 5, 6)
  await handOn()
  const mark = (await selectBrokerMarks(db.pool, 0))[0]?.id
  expect(await rewind(2, mark)).toBe(0)
  expect(await handOn()).toEqual([4, 5, 6])
  expect(await rewind(5, mark)).toBe(2)
  expect(await handOn()).toEqual([6])
})

test('each loss leaves a trace for operators, and a relay that was replaced leaves none', async () => {
  await insert(1, 2, 3)
  await handOn()
  expect(await rewind(2)).toBe(2)
  expect(await rewindPosition(db.pool, 0, '0', ['B'], { mark: undefined, expired: 0n })).toBeUndefined()
  expect(await selectBrokerLosses(db.pool)).toMatchObject([{ stream: 'A', shards: 1, leftOut: 2 }])
})
