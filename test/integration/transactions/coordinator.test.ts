import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { gidOf, messageTo, type TestCoordinator, testCoordinator } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { impatient } from '../../support/dispatchers.ts'
import { type HttpService, httpService } from '../../support/http-service.ts'
import { storedTransaction } from '../../support/transactions.ts'

let db: TestDatabase
let stock: HttpService
let answers: Map<string, number[]>
let relay: TestCoordinator

beforeEach(async () => {
  db = await database()
  answers = new Map()
  stock = await httpService(({ path }) => answers.get(path)?.shift() ?? 200)
  relay = await testCoordinator(db.url, [impatient('stock', stock.url)])
})
afterEach(async () => {
  await relay.end()
  await stock[Symbol.asyncDispose]()
  await db.drop()
})

const paths = () => stock.calls.map(({ path }) => path)

describe('a message', () => {
  test('is delivered when it is submitted, and not before', async () => {
    const gid = gidOf('message')
    expect(await relay.perform({ do: 'prepare', gid, transaction: messageTo() })).toMatchObject({ outcome: 'pending' })
    await sleep(100)
    expect(paths()).toEqual([])
    expect(await relay.perform({ do: 'submit', gid, waitMs: 5000 })).toEqual({
      outcome: 'done',
      gid,
      status: 'succeed',
    })
    expect(stock.calls).toHaveLength(1)
    const [call] = stock.calls
    expect(call?.body.toString()).toBe('{"n":1}')
    // The id of a message is the same on every way that it can come; a signature covers it.
    expect(call?.headers).toMatchObject({
      'webhook-id': `${gid}:1`,
      'postcommit-gid': gid,
      'postcommit-branch': '1',
      'postcommit-branch-name': '01',
      'postcommit-op': 'action',
    })
    expect(await storedTransaction(db.pool, gid)).toMatchObject({ finished: true, ops: ['01 action succeed'] })
    expect(await relay.perform({ do: 'submit', gid })).toEqual({ outcome: 'done', gid, status: 'succeed' })
    expect(stock.calls).toHaveLength(1)
  })

  test('can be submitted at once', async () => {
    const gid = gidOf('message')
    expect(await relay.perform({ do: 'submit', gid, transaction: messageTo(), waitMs: 5000 })).toMatchObject({
      outcome: 'done',
    })
    expect(stock.calls).toHaveLength(1)
  })

  test('is repeated until it is done, whatever its branch answers', async () => {
    const gid = gidOf('message')
    answers.set('/action', [500, 409, 425, 404])
    expect(await relay.perform({ do: 'submit', gid, transaction: messageTo(), waitMs: 5000 })).toMatchObject({
      outcome: 'done',
    })
    expect(stock.calls).toHaveLength(5)
    const { rows } = await db.pool.query('select event from postcommit.branch_attempt order by id')
    expect(rows.map(({ event }) => event)).toEqual(['failed', 'refused', 'ongoing', 'failed'])
  })

  test('is not sent after it was given up', async () => {
    const gid = gidOf('message')
    await relay.perform({ do: 'prepare', gid, transaction: messageTo() })
    expect(await relay.perform({ do: 'abort', gid, reason: 'no' })).toEqual({
      outcome: 'failed',
      gid,
      status: 'failed',
      reason: 'no',
    })
    expect(await relay.perform({ do: 'submit', gid })).toMatchObject({ code: 'POSTCOMMIT_TRANSACTION_DECIDED' })
    await sleep(100)
    expect(paths()).toEqual([])
  })

  test('of which nothing is known is not submitted', async () => {
    expect(await relay.perform({ do: 'submit', gid: gidOf('message') })).toMatchObject({
      code: 'POSTCOMMIT_UNKNOWN_TRANSACTION',
    })
  })
})
