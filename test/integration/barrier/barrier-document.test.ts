import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { database } from '../../support/database.ts'
import { spawnProgram } from '../../support/program.ts'
import { repositoryFolder } from '../../support/repository-folder.ts'

/** Below node_modules, so that it finds the packages as a service does. */
const folder = join(repositoryFolder, 'node_modules', `.cache/barrier-document-${process.pid}`)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the program in docs/barrier.md runs, and does what the table below it says', async () => {
  const document = readFileSync(join(repositoryFolder, 'docs/barrier.md'), 'utf8')
  const [, source = ''] = /```ts\n([\s\S]*?)```/.exec(document) ?? []
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'program.ts'), source)
  await using db = await database()
  await db.pool.query('create table stock (left_over int not null); insert into stock values (2)')
  await using program = await spawnProgram(join(folder, 'program.ts'), [], { DATABASE_URL: db.url })
  const [, port] = await program.waitForLine(/"port":(\d+)/)

  const own = (gid: string, op: string) =>
    fetch(`http://127.0.0.1:${port}/`, {
      method: 'POST',
      headers: { 'postcommit-gid': gid, 'postcommit-branch': '01', 'postcommit-op': op },
    })
  const dtm = (gid: string, op: string) =>
    fetch(`http://127.0.0.1:${port}/?gid=${gid}&trans_type=saga&branch_id=01&op=${op}`, { method: 'POST' })
  const left = async () => (await db.pool.query('select left_over from stock')).rows[0]?.left_over
  const calls = [
    [own, 'g1', 'action', 204, 1],
    [dtm, 'g1', 'action', 204, 1],
    [dtm, 'g2', 'action', 204, 0],
    [own, 'g3', 'action', 409, 0],
    [own, 'g3', 'compensate', 204, 0],
    [own, 'g3', 'action', 204, 0],
    [own, 'g1', 'compensate', 204, 1],
    [own, 'g1', 'compensate', 204, 1],
    [own, 'g1', 'confirm', 400, 1],
    [own, '', 'action', 500, 1],
  ] as const
  const said = []
  for (const [ask, gid, op] of calls) said.push([ask, gid, op, (await ask(gid, op)).status, await left()])
  expect(said).toEqual(calls)
})
