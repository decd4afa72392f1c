import { expect, test } from 'vitest'
import { database } from '../support/database.ts'
import { nats } from '../support/nats.ts'

test('a test gets a migrated database of its own', async () => {
  await using first = await database()
  await using second = await database()
  await first.pool.query(`insert into postcommit.barrier (gid, branch, op, reason) values ('g', '0', 'o', 'o')`)
  const { rows } = await second.pool.query('select count(*)::int as count from postcommit.barrier')
  expect(rows).toEqual([{ count: 0 }])
})

test('a test gets a stream of its own', async () => {
  await using broker = await nats()
  const stream = await broker.freshStream('orders')
  const info = await stream.manager.streams.info(stream.name)
  expect(info.config.subjects).toEqual(stream.subjects)
})
