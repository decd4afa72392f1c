/** Where publishing starts again when a broker has lost what it acknowledged. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { newestOf, rewindToSurvivors } from '../../../relay/publisher/surviving-mark.ts'
import { type Acknowledgement, insertBrokerMarks } from '../../../relay/store/broker/insert-broker-marks.ts'
import { purgeBrokerMarks } from '../../../relay/store/broker/purge-broker-marks.ts'
import { selectBrokerMarks } from '../../../relay/store/broker/select-broker-marks.ts'
import { rebase } from '../../../relay/store/log/rebase.ts'
import { splitShards } from '../../../relay/store/log/split-shards.ts'
import { takeShard } from '../../../relay/store/log/take-shard.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { insertTestRelay } from '../../support/deliveries.ts'

let db: TestDatabase
let epoch: string

const ack = (stream: string, sequence: number): Acknowledgement => ({
  stream,
  sequence,
  messageId: `${stream}-${sequence}:1`,
})
const at = (xid: number, low = xid) => ({ snapshot: `${xid}:${xid}:`, low: BigInt(low), window: undefined })
const take = async () => await takeShard(db.pool, 0, await insertTestRelay(db.pool))

/** Ten marks of one stream, every third of another as well, a hundred apart. */
beforeEach(async () => {
  db = await database()
  epoch = (await take())?.epoch ?? ''
  for (let n = 1; n <= 10; n += 1) {
    const acks = [ack('A', n * 100), ...(n % 3 === 0 ? [ack('B', n * 100)] : [])]
    await insertBrokerMarks(db.pool, 0, epoch, at(1000 + n), acks)
  }
})
afterEach(() => db.drop())

/** What is found by a relay whose broker has of each stream the messages up to a number. */
async function rewind(has: Readonly<Record<string, number>>, retentionMs = 86_400_000) {
  const asked: string[] = []
  const isThere = async ({ stream, sequence }: Acknowledgement) => {
    asked.push(stream)
    return sequence <= (has[stream] ?? 0)
  }
  const newest = newestOf(await selectBrokerMarks(db.pool, 0))
  const rewound = await rewindToSurvivors(db.pool, { shard: 0, epoch, newest }, { isThere, retentionMs })
  return { rewound, asked }
}
const position = async () => {
  const { rows } = await db.pool.query(
    'select snapshot::text, low::int, stream, stream_sequence::int as sequence, owner, epoch::int from postcommit.position',
  )
  return rows[0]
}

describe('a shard is taken back', () => {
  test('not at all while everything is there', async () => {
    const before = await position()
    expect(await rewind({ A: 1000, B: 900 })).toEqual({ rewound: undefined, asked: ['A', 'B'] })
    expect(await position()).toEqual(before)
  })

  test.each([
    [{ A: 999, B: 900 }, 9],
    [{ A: 500, B: 900 }, 5],
    [{ A: 100, B: 900 }, 1],
    [{ A: 1000, B: 899 }, 6],
    [{ A: 450, B: 700 }, 4],
    [{ A: 850, B: 350 }, 3],
  ])('to the newest mark that is still there, of two streams to the older one: %j', async (has, mark) => {
    const { rewound, asked } = await rewind(has)
    expect(rewound?.mark?.sequence).toBe(mark * 100)
    // By halving, not one after the other.
    expect(asked.length).toBeLessThanOrEqual(9)
    expect(await position()).toEqual({
      snapshot: `${1000 + mark}:${1000 + mark}:`,
      low: 1000 + mark,
      stream: rewound?.mark?.stream,
      sequence: mark * 100,
      owner: null,
      epoch: Number(epoch) + 1,
    })
    const left = await selectBrokerMarks(db.pool, 0)
    expect(left.at(-1)?.id).toBe(rewound?.mark?.id)
    // What its former owner still sends is refused.
    await insertBrokerMarks(db.pool, 0, epoch, at(2000), [ack('A', 2000)])
    expect(await selectBrokerMarks(db.pool, 0)).toEqual(left)
  })

  test.each([{ A: 99, B: 900 }, { A: 1000 }, {}])('to the beginning if no mark is there: %j', async (has) => {
    expect((await rewind(has)).rewound).toMatchObject({ mark: undefined })
    expect(await position()).toMatchObject({ snapshot: '1:1:', low: 0, stream: null, sequence: null })
    expect(await selectBrokerMarks(db.pool, 0)).toEqual([])
    expect(await take()).toMatchObject({ snapshot: '1:1:', stream: null, sequence: null, messageId: null })
  })

  test('by its owner alone', async () => {
    await db.pool.query('update postcommit.position set epoch = epoch + 1')
    const before = await position()
    expect((await rewind({})).rewound).toBeUndefined()
    expect(await position()).toEqual(before)
  })
})

test('shards that are cut from one have its marks; a log that was restored elsewhere has none', async () => {
  await splitShards(db.pool, 4)
  const marks = (shard: number) => selectBrokerMarks(db.pool, shard)
  const of = async (shard: number) => (await marks(shard)).map(({ messageId }) => messageId)
  expect(await of(0)).toHaveLength(13)
  for (const shard of [1, 2, 3]) expect(await of(shard)).toEqual(await of(0))
  await rebase(db.pool, 0)
  expect(await marks(0)).toEqual([])
})

test('marks from before the retention go', async () => {
  await db.pool.query(
    `update postcommit.broker_mark set saved_at = now() - interval '1 hour' where stream_sequence <= 500`,
  )
  await purgeBrokerMarks(db.pool, 600_000)
  expect((await selectBrokerMarks(db.pool, 0)).map(({ sequence }) => sequence)).toEqual([
    600, 600, 700, 800, 900, 900, 1000,
  ])
})
