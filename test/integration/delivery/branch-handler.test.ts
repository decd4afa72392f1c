import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { branchHandler, createInbox, DeliveryRefused, handler } from 'postcommit'
import { barrierFrom } from 'postcommit/barrier'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { gidOf, messageTo, sagaOf, type TestCoordinator, testCoordinator } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { impatient } from '../../support/dispatchers.ts'

const SECRETS = [`whsec_${Buffer.alloc(32, 7).toString('base64')}`]

let db: TestDatabase
let server: Server
let relay: TestCoordinator
let unexpected: unknown[]

const open = async (listener: Parameters<typeof createServer>[1], secrets: readonly string[] = SECRETS) => {
  server = createServer(listener)
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  relay = await testCoordinator(db.url, [impatient('stock', url, { secrets })])
}
const effects = async () =>
  (await db.pool.query('select what from effect order by n')).rows.map(({ what }) => String(what))
const run = async (transaction: Parameters<TestCoordinator['perform']>[0] & { do: 'submit' }) =>
  await relay.perform(transaction)

beforeEach(async () => {
  db = await database()
  await db.pool.query('create table effect (n int generated always as identity, what text not null)')
  unexpected = []
})
afterEach(async () => {
  await relay.end()
  server.close()
  server.closeAllConnections()
  await db.drop()
})

test('a message that a relay was told of is taken by handler() with an inbox, like one from a log', async () => {
  const inbox = createInbox({ db: db.pool, consumer: 'stock' })
  const seen: unknown[] = []
  const deduct = handler({
    secrets: SECRETS,
    inbox,
    onError: (error) => unexpected.push(error),
    async handle({ id, branch, payload }, tx) {
      seen.push([id, branch])
      await tx.query('insert into effect (what) values ($1)', [JSON.stringify(payload)])
    },
  })
  await open(deduct.node)
  const gid = gidOf('message')
  const action = { destination: 'stock', path: '/deduct' }
  const branches = ['first', '02'].map((branch) => ({ branch, ops: { action }, payload: `{"of":"${branch}"}` }))
  expect(await run({ do: 'submit', gid, transaction: messageTo({ branches }), waitMs: 30_000 })).toMatchObject({
    outcome: 'done',
  })
  expect(await effects()).toEqual(['{"of":"first"}', '{"of":"02"}'])
  expect(seen).toEqual([
    [`${gid}:1`, 1],
    [`${gid}:2`, 2],
  ])
  expect(unexpected).toEqual([])
})

describe('branchHandler()', () => {
  const passing = (failing: (branch: string, op: string) => Error | undefined) =>
    branchHandler<{ sku: string }>({
      secrets: SECRETS,
      parse: (value) => value as { sku: string },
      onError: (error) => unexpected.push(error),
      async handle(call) {
        const { skipped } = await barrierFrom(call).call(db.pool, async (tx) => {
          await tx.query('insert into effect (what) values ($1)', [`${call.branch} ${call.op}`])
        })
        if (skipped !== false) await db.pool.query('insert into effect (what) values ($1)', [`(${skipped})`])
        const error = failing(call.branch, call.op)
        if (error !== undefined) throw error
      },
    })

  test('carries out the branches of a saga, each under the signature of its own call', async () => {
    await open(passing(() => undefined).node)
    const gid = gidOf('saga')
    expect(await run({ do: 'submit', gid, transaction: sagaOf(['order', 'stock']), waitMs: 30_000 })).toMatchObject({
      outcome: 'done',
    })
    expect(await effects()).toEqual(['order action', 'stock action'])
  })

  test('answers what fails for good with 409, and anything else so that it is called again', async () => {
    let stumbles = 2
    const failing = (branch: string, op: string) => {
      if (op === 'action' && branch === 'stock') return new DeliveryRefused('sold out')
      if (op === 'compensate' && stumbles > 0) {
        stumbles -= 1
        return new Error('the disk is full')
      }
      return undefined
    }
    await open(passing(failing).node)
    const gid = gidOf('saga')
    expect(await run({ do: 'submit', gid, transaction: sagaOf(['order', 'stock']), waitMs: 30_000 })).toEqual({
      outcome: 'failed',
      gid,
      status: 'failed',
      reason: 'branch stock failed: sold out',
    })
    // The branch that failed did so after its commit, so it is undone as well.
    expect(await effects()).toEqual([
      'order action',
      'stock action',
      'stock compensate',
      '(duplicate)',
      '(duplicate)',
      'order compensate',
    ])
    expect(unexpected.map(String)).toEqual(['Error: the disk is full', 'Error: the disk is full'])
  })
})
