import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '@postcommit/relay/dev'
import { afterAll, expect, test } from 'vitest'
import { database } from '../../support/database.ts'
import { spawnProgram } from '../../support/program.ts'
import { repositoryFolder } from '../../support/repository-folder.ts'
import { CLI } from '../../support/run-cli.ts'

/** Below node_modules, so that it finds the packages as a service does. */
const folder = join(repositoryFolder, 'node_modules', `.cache/sagas-document-${process.pid}`)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the programs in docs/sagas.md run with its configuration, and end as it says', { timeout: 240_000 }, async () => {
  const document = readFileSync(join(repositoryFolder, 'docs/sagas.md'), 'utf8')
  const [initiator = '', participant = ''] = [...document.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, text]) => text)
  const [, config = ''] = /```json\n([\s\S]*?)```/.exec(document) ?? []
  const [port, apiPort] = [await freePort(), await freePort()]
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'participant.ts'), participant)
  writeFileSync(join(folder, 'initiator.ts'), initiator.replace(':8484', `:${apiPort}`))
  writeFileSync(join(folder, 'postcommit.json'), config.replace(':3000', `:${port}`))
  await using db = await database()
  await db.pool.query(`create table stock (sku text primary key, n int not null); insert into stock values ('a', 3), ('b', 0);
    create table payments (gid text not null, amount int not null); create table mails (gid text not null)`)
  const env = {
    DATABASE_URL: db.url,
    SHOP_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
    PORT: String(port),
  }
  await using service = await spawnProgram(join(folder, 'participant.ts'), [], env)
  const flags = ['--http-port', '0', '--api-port', String(apiPort), '--config', join(folder, 'postcommit.json')]
  await using relay = await spawnProgram(CLI, ['run', ...flags], env)
  await Promise.all([
    service.waitForLine(/listening/, { timeoutMs: 60_000 }),
    relay.waitForLine(/every source is being served/, { timeoutMs: 60_000 }),
  ])

  const order = async (sku: string, amount: number) => {
    await using program = await spawnProgram(join(folder, 'initiator.ts'), [sku, String(amount)])
    await program.exit
    return program.lines.map((line) => line.trim())
  }
  const rows = async () => {
    const { rows } = await db.pool.query(`select (select n from stock where sku = 'a') as stock,
      (select count(*)::int from payments) as payments, (select count(*)::int from mails) as mails`)
    return rows[0]
  }
  expect(await order('a', 100)).toEqual(['done'])
  expect(await rows()).toEqual({ stock: 2, payments: 1, mails: 1 })
  expect(await order('b', 100)).toEqual(['failed branch stock failed: sold out'])
  // The pivot refuses: what was before it is undone, and what would have followed is not begun.
  expect(await order('a', 101)).toEqual(['failed branch pay failed: no cover'])
  expect(await rows()).toEqual({ stock: 2, payments: 1, mails: 1 })
  const { rows: barrier } = await db.pool.query(
    `select branch, op, reason from postcommit.barrier where gid <> (select gid from payments) order by created_at, op`,
  )
  expect(barrier.map(({ branch, op, reason }) => `${branch} ${op}/${reason}`)).toEqual([
    'stock action/compensate',
    'stock compensate/compensate',
    'stock action/action',
    'pay action/refused',
    'stock compensate/compensate',
  ])
})
