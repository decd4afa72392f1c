import { createOutbox } from 'postcommit'
import { expect, test } from 'vitest'
import { database } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { nats } from '../../support/nats.ts'
import { spawnProgram } from '../../support/program.ts'

const MESSAGES = 3000
const CONTENT = 'x'.repeat(250_000)

test('a relay with a small heap drains a backlog that is three times as large', async () => {
  await using db = await database()
  await using broker = await nats()
  // Kept by nobody: what is asked is whether the relay lives.
  const stream = await broker.freshStream('large', { max_msgs: 10 })
  const outbox = createOutbox({ db: db.pool, wake: 'off' })
  for (let sent = 0; sent < MESSAGES; sent += 20) {
    await outbox.commit((_, message) => {
      for (let n = 0; n < 20; n += 1) message.publish(`${stream.prefix}.a`, CONTENT)
    })
  }
  await using relay = await spawnProgram(
    'relay/bin/postcommit.js',
    ['run', '--http-enabled', 'false', '--nats-servers', broker.url],
    { POSTCOMMIT_DATABASE_URL: db.url, NODE_OPTIONS: '--max-old-space-size=256' },
  )
  let ended: unknown
  void relay.exit.then((exit) => {
    ended = exit
  })
  await eventually(
    async () => {
      expect((await stream.manager.streams.info(stream.name)).state.last_seq).toBe(MESSAGES)
    },
    { timeoutMs: 240_000, everyMs: 500 },
  )
  expect(ended).toBeUndefined()
}, 420_000)
