import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { backQueryHandler } from 'postcommit'
import type { Failpoint } from 'postcommit/protocol'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { spawnProgram } from '../support/program.ts'
import { type RelayDouble, relayDouble } from '../support/relay-double.ts'

/** The points of a commit that is announced to a relay which cannot read the database. */
const ANNOUNCED = [
  'sdk.before_prepare',
  'sdk.after_prepare',
  'sdk.before_commit',
  'sdk.after_commit',
  'sdk.before_submit',
  'sdk.after_submit',
] as const satisfies readonly Failpoint[]

let db: TestDatabase
let double: RelayDouble
let backQueryUrl: string
let closeServer: () => void

beforeAll(async () => {
  db = await database()
  await db.pool.query('create table orders (id text primary key)')
  double = await relayDouble()
  // The questions are answered by another process of the service than the one that dies.
  const server = createServer(backQueryHandler({ db: db.pool, secrets: 'unsigned' }).node)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  backQueryUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/back-query`
  closeServer = () => {
    server.close()
    server.closeAllConnections()
  }
})
afterAll(async () => {
  closeServer()
  await double[Symbol.asyncDispose]()
  await db.drop()
})

test.each(ANNOUNCED)('a service killed at %s: what it committed is released, and nothing else', async (label) => {
  const failpoint = `${label}:kill:25`
  await using service = await spawnProgram('test/support/fixtures/announcing-service.ts', [
    db.url,
    double.url,
    backQueryUrl,
    failpoint,
  ])
  expect(await service.exit).toMatchObject({ signal: 'SIGKILL' })
  for (const [gid, { status }] of double.transactions) {
    if (status !== 'prepared') continue
    // The server may need a moment to notice that the session is gone.
    await eventually(async () => expect(await double.settle(gid)).toMatch(/^(committed|aborted)$/))
  }
  const released = [...double.transactions.values()]
    .filter(({ status }) => status === 'submitted')
    .map(({ definition }) => (JSON.parse(definition.branches[0]?.payload ?? '') as { id: string }).id)
    .filter((id) => id.startsWith(label))
  const { rows } = await db.pool.query<{ id: string }>('select id from orders where starts_with(id, $1)', [label])
  expect(released.sort()).toEqual(rows.map(({ id }) => id).sort())
  const resolved = service.lines.flatMap((line) => /^committed (.*)$/.exec(line)?.[1] ?? [])
  expect(resolved.filter((id) => !released.includes(id))).toEqual([])
  expect(resolved.length).toBeGreaterThan(10)
})
