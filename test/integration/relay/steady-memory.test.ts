import { queryObjects } from 'node:v8'
import { createRelay } from '@postcommit/relay'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { expect, test } from 'vitest'
import { database } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { nats } from '../../support/nats.ts'

const BATCHES = 400

test('a relay keeps nothing of a batch that is published', async () => {
  await using db = await database()
  await using broker = await nats()
  const stream = await broker.freshStream('steady')
  const relay = createRelay({
    db: db.url,
    nats: { connection: { servers: broker.url } },
    handlers: { counter: async () => undefined },
    log: pino({ level: 'silent' }),
    drainMs: 1000,
  })
  await relay.start()
  try {
    const outbox = createOutbox({ db: db.pool, wakeGapMs: 0 })
    let sent = 0
    const work = async () => {
      for (let batch = 0; batch < BATCHES; batch += 1) {
        // Each commit is a window of its own, because the one before is published by then.
        await outbox.commit((_, message) => {
          message.publish(`${stream.prefix}.a`, batch)
          message.call('counter', '/count', batch)
        })
      }
      sent += BATCHES
      await eventually(async () => expect((await stream.manager.streams.info(stream.name)).state.messages).toBe(sent))
      const open = `select from postcommit.delivery where state <> 'confirmed'`
      await eventually(async () => expect((await db.pool.query(open)).rowCount).toBe(0), { timeoutMs: 30_000 })
      return queryObjects(Promise, { format: 'count' })
    }
    await work()
    const before = await work()
    const after = await work()
    // Two a batch were kept once: 800.
    expect(after - before).toBeLessThan(BATCHES / 4)
  } finally {
    await relay.stop()
  }
}, 120_000)
