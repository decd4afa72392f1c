import { expect, test } from 'vitest'
import { database } from '../../support/database.ts'
import { nats } from '../../support/nats.ts'

test('a test gets a migrated database of its own, and may drop it while others are connected', async () => {
  await using first = await database()
  await using second = await database()
  await first.pool.query(`insert into postcommit.barrier (gid, branch, op, reason) values ('g', '0', 'o', 'o')`)
  const { rows } = await second.pool.query('select count(*)::int as count from postcommit.barrier')
  expect(rows).toEqual([{ count: 0 }])
  await first.drop()
  const left = await second.pool.query('select from pg_database where datname = $1', [first.name])
  expect(left.rowCount).toBe(0)
})

test('many databases can be asked for at once', async () => {
  const databases = await Promise.all(Array.from({ length: 8 }, () => database()))
  expect(new Set(databases.map(({ name }) => name)).size).toBe(8)
  await Promise.all(databases.map((each) => each.drop()))
})

test('a test gets a stream of its own', async () => {
  await using broker = await nats()
  const [one, two] = await Promise.all([broker.freshStream('orders'), broker.freshStream('orders')])
  expect(one.prefix).not.toBe(two.prefix)
  const info = await one.manager.streams.info(one.name)
  expect(info.config.subjects).toEqual(one.subjects)
  expect(info.config.storage).toBe('file')
})
