/** A network that parts: a node of NATS from the others, or a relay from all of NATS, while everything runs. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createRelay, type Relay } from '@postcommit/relay'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { nats, type TestNats } from '../support/nats.ts'
import type { NatsCluster } from '../support/nats-cluster.ts'
import { openNatsPath } from '../support/nats-path.ts'
import { privateNatsCluster } from '../support/private-servers.ts'
import { streamContents } from '../support/stream-contents.ts'
import { longest, watchStandstills } from './standstill.ts'

const KEYS = 5
const COMMIT_EVERY_MS = 20
/**
 * Long enough that the others elect a new leader (4 to 9 s) and that the relay has repeated what was not acknowledged
 * (2 s) to the one that is cut off and takes itself for the leader still (10 s and more).
 */
const CUT_MS = 13_000
/** Longer than an acknowledgement may take. */
const PATH_CUT_MS = 5000
const DELIVERED = { timeoutMs: 90_000, everyMs: 500 }

let cluster: NatsCluster
let db: TestDatabase
let broker: TestNats
let stream: string
const opened: { stop(): Promise<void> }[] = []

beforeAll(async () => {
  cluster = await privateNatsCluster()
})
afterAll(() => cluster[Symbol.asyncDispose]())

beforeEach(async () => {
  // A node that was cut off may take a while until the others count on it.
  await cluster.untilAgreed()
  db = await database()
  broker = await nats(cluster.url)
  stream = (await broker.freshStream('parted', { num_replicas: 3, duplicate_window: 600e9 })).name
})
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.stop()
  await broker.close()
  await db.drop()
})

async function startRelay(name: string, url: string): Promise<Relay> {
  const connection = { servers: url.split(','), reconnectTimeWait: 50 }
  const streams = [{ name: stream, subjects: [`${stream}.>`] }]
  const relay = createRelay({ name, db: db.url, nats: { connection, streams }, log: pino({ level: 'silent' }) })
  opened.push(relay)
  await relay.start()
  return relay
}

/** Commits one message after the other until it is stopped: the order of the commits is that of the numbers. */
function keepCommitting() {
  const outbox = createOutbox({ db: db.pool })
  let committed = 0
  let isOpen = true
  const committing = (async () => {
    while (isOpen) {
      const number = committed + 1
      await outbox.commit((_, message) => message.publish(`${stream}.placed`, { number }, { key: `k${number % KEYS}` }))
      committed = number
      await sleep(COMMIT_EVERY_MS)
    }
  })()
  return {
    count: () => committed,
    /** Resolves when so many more are committed. */
    async more(count: number) {
      const enough = committed + count
      await eventually(() => expect(committed).toBeGreaterThanOrEqual(enough), DELIVERED)
    },
    async stop() {
      isOpen = false
      await committing
      return committed
    },
  }
}

async function storedNumbers(): Promise<readonly number[]> {
  const contents = await streamContents(broker.connection, stream)
  return contents.map(({ payload }) => (payload as { number: number }).number)
}

/** Each once, and each key in order. */
async function expectAllStored(committed: number): Promise<void> {
  const missing = async () => {
    const stored = new Set(await storedNumbers())
    return Array.from({ length: committed }, (_, index) => index + 1).filter((number) => !stored.has(number))
  }
  await eventually(async () => expect(await missing(), `of ${committed}, these are lost`).toEqual([]), DELIVERED)
  const stored = await storedNumbers()
  expect(stored).toHaveLength(committed)
  for (let key = 0; key < KEYS; key += 1) {
    const ofKey = stored.filter((number) => number % KEYS === key)
    expect(ofKey).toEqual(ofKey.toSorted((a, b) => a - b))
  }
}

test('the leader of the stream, cut off from its peers while the relay stays connected to it', async () => {
  const leader = await cluster.leaderOf(stream)
  await startRelay('parted', leader.url)
  const watch = watchStandstills(db.pool)
  const commits = keepCommitting()
  await eventually(async () => expect(await storedNumbers()).not.toEqual([]), DELIVERED)
  leader.cutOff('silent')
  await sleep(CUT_MS)
  await leader.rejoin()
  await commits.more(20)
  await expectAllStored(await commits.stop())
  console.log(`leader cut off: nothing confirmed for ${longest(await watch.stop()).toFixed(0)} ms`)
}, 240_000)

test('the relay that publishes, cut from NATS while another relay reaches it', async () => {
  const paths = [await openNatsPath(cluster.nodes), await openNatsPath(cluster.nodes)]
  opened.push(...paths.map(({ close }) => ({ stop: close })))
  for (const [index, { url }] of paths.entries()) await startRelay(`relay-${index}`, url)
  const watch = watchStandstills(db.pool)
  const commits = keepCommitting()
  await eventually(async () => expect(await storedNumbers()).not.toEqual([]), DELIVERED)
  const { rows } = await db.pool.query<{ name: string }>(
    'select name from postcommit.relay join postcommit.position on owner = relay.id',
  )
  const path = paths[Number(rows[0]?.name.replace('relay-', ''))]
  expect(path).toBeDefined()
  path?.cut('silent')
  await sleep(PATH_CUT_MS)
  await path?.mend()
  await commits.more(20)
  await expectAllStored(await commits.stop())
  console.log(
    `relay cut from NATS for ${PATH_CUT_MS} ms: nothing confirmed for ${longest(await watch.stop()).toFixed(0)} ms`,
  )
}, 240_000)
