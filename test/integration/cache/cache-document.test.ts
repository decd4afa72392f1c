import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, inject, test } from 'vitest'
import { database } from '../../support/database.ts'
import { spawnProgram } from '../../support/program.ts'
import { redis } from '../../support/redis.ts'
import { repositoryFolder } from '../../support/repository-folder.ts'

/** Below node_modules, so that it finds the packages as a service does. */
const folder = join(repositoryFolder, 'node_modules', `.cache/cache-document-${process.pid}`)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the program in docs/cache.md runs and says what its comments say', async () => {
  const document = readFileSync(join(repositoryFolder, 'docs/cache.md'), 'utf8')
  const [, source = ''] = /```ts\n([\s\S]*?)```/.exec(document) ?? []
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'program.ts'), source)
  await using db = await database()
  await using rd = await redis()
  // Its keys have the default prefix; nobody else's do.
  await rd.ioredis.del('cache:product:42', 'cache:product:43')
  const addresses = { DATABASE_URL: db.url, REDIS_URL: inject('redisUrl') }
  await using program = await spawnProgram(join(folder, 'program.ts'), [], addresses)
  await expect(program.exit).resolves.toEqual({ code: 0, signal: null })
  expect(program.lines).toEqual([
    '{ id: 42, price: 7 }',
    '[ { id: 42, price: 7 }, null ]',
    'applied',
    '{ id: 42, price: 5 }',
    '-- Made by watchTable() of postcommit/cache.',
  ])
})
