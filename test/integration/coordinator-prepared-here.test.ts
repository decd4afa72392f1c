import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { pauseTransaction, resumeTransaction } from '../../relay/store/transaction/pause-transaction.ts'
import { gidOf, messageTo, type TestCoordinator, testCoordinator } from '../support/coordinators.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { impatient } from '../support/dispatchers.ts'
import { eventually } from '../support/eventually.ts'
import { type HttpService, httpService } from '../support/http-service.ts'
import { storedTransaction } from '../support/transactions.ts'

let db: TestDatabase
let stock: HttpService
let relay: TestCoordinator

beforeEach(async () => {
  db = await database()
  stock = await httpService(() => 200)
  relay = await testCoordinator(db.url, [impatient('stock', stock.url)])
})
afterEach(async () => {
  await relay.end()
  await stock[Symbol.asyncDispose]()
  await db.drop()
})

describe('a message that this relay has prepared itself', () => {
  const prepare = async () => {
    const gid = gidOf('prepared')
    await relay.perform({ do: 'prepare', gid, transaction: messageTo() })
    // What is called tells whether it was read again.
    await db.pool.query(`update postcommit.branch set payload = '"read"' where payload = '{"n":1}'`)
    return gid
  }
  const bodies = () => stock.calls.slice(1).map(({ body }) => String(body))

  beforeEach(async () => {
    // It claims nothing before it knows the clock of the database.
    await relay.perform({ do: 'submit', gid: gidOf('first'), transaction: messageTo(), waitMs: 10_000 })
  })

  test('is begun without being read again, and comes to its end', async () => {
    const gid = await prepare()
    expect(await relay.perform({ do: 'submit', gid, waitMs: 10_000 })).toMatchObject({ outcome: 'done' })
    expect(bodies()).toEqual(['{"n":1}'])
    expect(await storedTransaction(db.pool, gid)).toMatchObject({ status: 'succeed', ops: ['01 action succeed'] })
    expect(await relay.perform({ do: 'submit', gid })).toMatchObject({ outcome: 'done' })
    expect(bodies()).toHaveLength(1)
  })

  test('stays paused if a person has paused it, and is read when it is resumed', async () => {
    const gid = await prepare()
    const act = { actor: 'ada', reason: 'why' }
    expect(await pauseTransaction(db.pool, { tenant: '', gid }, act)).toBe(true)
    expect(await relay.perform({ do: 'submit', gid, waitMs: 200 })).toMatchObject({ status: 'submitted' })
    expect(bodies()).toEqual([])
    await resumeTransaction(db.pool, { tenant: '', gid }, act)
    await eventually(() => expect(bodies()).toEqual(['"read"']))
  })

  test('is not begun if it was given up, here or elsewhere', async () => {
    const gid = await prepare()
    await db.pool.query(
      `update postcommit.global_transaction set status = 'failed', finished_at = now() where gid = $1`,
      [gid],
    )
    expect(await relay.perform({ do: 'submit', gid })).toMatchObject({ outcome: 'refused' })
    const second = await prepare()
    await relay.perform({ do: 'abort', gid: second })
    expect(await relay.perform({ do: 'submit', gid: second })).toMatchObject({ outcome: 'refused' })
    expect(bodies()).toEqual([])
  })

  test('is submitted for others if this relay takes itself for alive and is buried', async () => {
    const gid = await prepare()
    relay.relay = '999999999'
    expect(await relay.perform({ do: 'submit', gid })).toMatchObject({ status: 'submitted' })
    expect(await storedTransaction(db.pool, gid)).toMatchObject({ status: 'submitted', lease_token: null })
    expect(bodies()).toEqual([])
  })
})
