/** What `doctor` and `status` say of streams that have lost what they acknowledged. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { insertBrokerMarks } from '../../../relay/store/broker/insert-broker-marks.ts'
import { takeShard } from '../../../relay/store/log/take-shard.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { insertTestRelay } from '../../support/deliveries.ts'
import { nats, type TestNats } from '../../support/nats.ts'
import { runCli } from '../../support/run-cli.ts'

let db: TestDatabase
let broker: TestNats
let cwd: string

beforeAll(async () => {
  db = await database()
  broker = await nats()
  cwd = await mkdtemp(join(tmpdir(), 'postcommit-doctor-'))
})
afterAll(async () => {
  await broker.close()
  await db.drop()
  await rm(cwd, { recursive: true })
})

async function run(command: string): Promise<string> {
  const env = { DATABASE_URL: db.url, POSTCOMMIT_NATS_SERVERS: broker.url }
  return (await runCli([command, '--json'], { cwd, env })).stdout
}
async function doctor(stream: string): Promise<readonly string[]> {
  const { checks } = JSON.parse(await run('doctor')) as { checks: Record<'name' | 'status' | 'detail', string>[] }
  return checks.filter(({ name }) => name === `stream ${stream}`).map(({ status, detail }) => `${status}: ${detail}`)
}

test('a stream fails while it lacks what it acknowledged, while it is gone, and for an hour after it was found', async () => {
  const { name, prefix, subjects, manager } = await broker.freshStream('doctor')
  const { epoch } = (await takeShard(db.pool, 0, await insertTestRelay(db.pool))) ?? { epoch: '' }
  const position = { snapshot: '1:1:', low: 0n, window: undefined }
  await broker.connection.request(`${prefix}.a`, '{}')
  const acked = (messageId: string) =>
    insertBrokerMarks(db.pool, 0, epoch, position, [{ stream: name, sequence: 1, messageId }])

  await acked('g:1')
  expect(await doctor(name)).toEqual(['fail: it has lost what it acknowledged'])
  await manager.streams.delete(name)
  expect(await doctor(name)).toEqual(['fail: it is gone, and had acknowledged messages'])
  await manager.streams.add({ name, subjects: [...subjects] })
  expect(await doctor(name)).toEqual(['fail: it has lost what it acknowledged'])

  await db.pool.query('delete from postcommit.broker_mark')
  await db.pool.query(`insert into postcommit.broker_loss (shard, streams, left_out) values (0, array[$1], 7)`, [name])
  expect(await doctor(name)).toEqual([expect.stringMatching(/^fail: it had lost .* ago; .* except 7 older than/)])
  const { sources } = JSON.parse(await run('status')) as { sources: { losses: unknown }[] }
  expect(sources[0]?.losses).toMatchObject([{ stream: name, shards: 1, leftOut: 7 }])
  await db.pool.query(`update postcommit.broker_loss set found_at = now() - interval '2 hours'`)
  expect(await doctor(name)).toEqual([expect.stringMatching(/^warn: it had lost /)])
})
