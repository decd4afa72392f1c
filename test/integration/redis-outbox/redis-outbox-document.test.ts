import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { database } from '../../support/database.ts'
import { privateRedis } from '../../support/private-servers.ts'
import { spawnProgram } from '../../support/program.ts'
import { repositoryFolder } from '../../support/repository-folder.ts'

/** Below node_modules, so that it finds the packages as a service does. */
const folder = join(repositoryFolder, 'node_modules', `.cache/redis-outbox-document-${process.pid}`)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the program in docs/redis-outbox.md runs and says what its comments say', async () => {
  const document = readFileSync(join(repositoryFolder, 'docs/redis-outbox.md'), 'utf8')
  const [, source = ''] = /```ts\n([\s\S]*?)```/.exec(document) ?? []
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'program.ts'), source)
  await using db = await database()
  await using server = await privateRedis()
  const addresses = { DATABASE_URL: db.url, REDIS_URL: server.url }
  await using program = await spawnProgram(join(folder, 'program.ts'), [], addresses)
  await expect(program.exit).resolves.toEqual({ code: 0, signal: null })
  expect(program.lines).toEqual([
    'ann ok',
    'ann duplicate',
    'bob ok',
    'cem sold_out',
    "[ 'ann', 'bob' ]",
    "{ status: 'ok', left: 1 }",
    'ok',
  ])
})
