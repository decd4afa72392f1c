import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { BUSINESS_TABLES, type DtmBusiness, dtmBusiness, insertMessageRow } from '../../support/dtm-business.ts'
import { dtmClient, messageRequest, transfer } from '../../support/dtm-client.ts'
import { dtmRelay } from '../../support/dtm-relay.ts'
import type { DtmRelay } from '../../support/dtm-steps.ts'

// The names are those of DTM's own tests, so that whoever knows the one finds the other.

let db: TestDatabase
let busi: DtmBusiness
let relay: DtmRelay
const dtm = dtmClient(() => relay)
const S = 'succeed'
const P = 'prepared'

beforeAll(async () => {
  db = await database()
  await db.pool.query(BUSINESS_TABLES)
  busi = await dtmBusiness(db.pool)
  relay = await dtmRelay(db.url)
})
afterAll(async () => {
  await relay.stop()
  await busi.close()
  await db.drop()
})
beforeEach(async () => {
  busi.calls.length = 0
  await db.pool.query('update account set balance = 10000')
})

const call = async (body: unknown, status = 200) => {
  const answer = await fetch(`${new URL(relay.url).origin}/api/json-rpc`, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  expect(answer.status).toBe(status)
  return (await answer.json()) as { error: { code: number; message: string } | null; result: unknown; id: string }
}
const request = (method: string, params?: unknown) => call({ jsonrpc: '2.0', id: 'no-use', method, params })
const DONE = { jsonrpc: '2.0', id: 'no-use', error: null, result: null }

/** A message to two methods. */
const message = (gid: string, methods = ['TransOut', 'TransIn']) => ({
  ...messageRequest(busi, gid),
  protocol: 'json-rpc',
  steps: methods.map((name) => ({ action: busi.method(name) })),
  payloads: methods.map(() => transfer()),
  query_prepared: `${busi.url}/QueryPreparedB`,
})
const submit = async (body: ReturnType<typeof message>) => {
  expect(await request('submit', body)).toEqual(DONE)
  await dtm.waitProcessed(body.gid)
}
const balances = async () => {
  const { rows } = await db.pool.query<{ balance: number }>('select balance from account order by id desc')
  return rows.map(({ balance }) => balance)
}

describe('msg json-rpc', () => {
  test('TestMsgJrpcNormal', async () => {
    const { gid } = (await request('newGid')).result as { gid: string }
    expect(gid).toMatch(/^[\w-]{22}$/)
    expect(await request('prepare', message(gid))).toEqual(DONE)
    await submit(message(gid))
    expect(await dtm.branches(gid)).toEqual([S, S])
    expect(await dtm.status(gid)).toBe('succeed')
    expect(busi.calls).toHaveLength(2)
    const [first] = busi.calls
    expect(first).toMatchObject({ method: 'POST', path: '/api/json-rpc?method=TransOut' })
    expect(JSON.parse(first?.body ?? '')).toEqual({
      jsonrpc: '2.0',
      id: expect.any(String) as string,
      method: 'TransOut',
      params: { ...JSON.parse(transfer()), gid, trans_type: 'msg', branch_id: '01', op: 'action' },
    })
  })

  test.each(['ERROR', 'ONGOING', 'FAILURE'] as const)('TestMsgJprcResults %s', async (result) => {
    const gid = `TestMsgJprcResults-${result}`
    busi.switches.transIn.setOnce(result)
    await submit(message(gid))
    expect(await dtm.branches(gid)).toEqual([S, P])
    expect(await dtm.status(gid)).toBe('submitted')
    await dtm.cronOnce(gid)
    expect(await dtm.branches(gid)).toEqual([S, S])
    expect(await dtm.status(gid)).toBe('succeed')
  })

  /** As DTM's client goes about it, through JSON-RPC. */
  const doAndSubmit = async (gid: string, fails: boolean) => {
    const body = message(gid, ['SagaBTransIn'])
    expect(await request('prepare', body)).toEqual(DONE)
    const tx = await db.pool.connect()
    try {
      await tx.query('begin')
      await insertMessageRow(tx, gid, 'msg')
      await tx.query("update account set balance = balance - 30 where id = 'out'")
      await tx.query(fails ? 'rollback' : 'commit')
    } finally {
      tx.release()
    }
    if (!fails) return submit(body)
    expect((await fetch(`${body.query_prepared}?gid=${gid}&branch_id=00&trans_type=msg&op=msg`)).status).toBe(409)
    expect(await request('abort', body)).toEqual(DONE)
  }

  test('TestMsgJprcDoAndSubmit', async () => {
    const gid = 'TestMsgJprcDoAndSubmit'
    await doAndSubmit(gid, false)
    expect(await dtm.branches(gid)).toEqual([S])
    expect(await dtm.status(gid)).toBe('succeed')
    expect(await balances()).toEqual([9970, 10030])
  })

  test('TestMsgJprcDoAndSubmitBusiFailed', async () => {
    const gid = 'TestMsgJprcDoAndSubmitBusiFailed'
    await doAndSubmit(gid, true)
    expect(await dtm.status(gid)).toBe('failed')
    expect(await balances()).toEqual([10000, 10000])
  })

  test('TestMsgJprcRepeated', async () => {
    const gid = 'TestMsgJprcRepeated'
    await submit(message(gid))
    expect((await request('submit', message(gid))).error).toEqual({
      code: -32901,
      message: "current status 'succeed', cannot sumbmit. FAILURE",
    })
  })

  test('TestMsgJprcAbnormal', async () => {
    expect((await call('not json', 400)).error?.code).toBe(-32700)
    expect((await call({ jsonrpc: '2.0', id: 7, method: 'newGid' }, 400)).error?.code).toBe(-32700)
    expect((await call({ id: 'x', method: 'newGid' })).error?.code).toBe(-32600)
    expect((await call({ jsonrpc: '2.0', id: '', method: 'newGid' })).error?.code).toBe(-32600)
    expect((await request('not-exists')).error).toEqual({ code: -32601, message: 'Method not found: not-exists' })
  })

  test('TestMsgJprcAbnormal2', async () => {
    expect((await request('submit', {})).error?.code).toBe(-32603)
    expect((await request('abort', { gid: 'nobody' })).error).toEqual({
      code: -32603,
      message: 'no TransGlobal with gid: nobody found',
    })
    expect((await request('prepare', { gid: 'nobody', trans_type: 'tcc' })).error).toEqual({
      code: -32603,
      message: "trans type 'tcc' is not served here",
    })
    // A method takes parameters by their names; that shows at DTM when it is called.
    const wrong = { ...message('TestMsgJprcAbnormal2'), payloads: ['[1]', '{}'] }
    expect((await request('submit', wrong)).error).toEqual({
      code: -32603,
      message: 'payloads: number 1 is for a method, and not a JSON object',
    })
  })
})

test('a message is asked about by a method', async () => {
  const gid = 'asked-by-method'
  await request('prepare', { ...message(gid), query_prepared: busi.method('QueryPrepared') })
  busi.switches.queryPrepared.setOnce('ONGOING')
  await dtm.cronOnce(gid, { now: 180 })
  expect(await dtm.status(gid)).toBe('prepared')
  await dtm.cronOnce(gid, { now: 180 })
  expect(await dtm.status(gid)).toBe('succeed')
  expect(JSON.parse(busi.calls[0]?.body ?? '')).toMatchObject({
    method: 'QueryPrepared',
    params: { gid, trans_type: 'msg', branch_id: '00', op: 'msg' },
  })
})

test('a saga whose method refuses is undone by methods', async () => {
  const gid = 'saga-of-methods'
  const steps = ['TransOut', 'TransIn'].map((name) => ({
    action: busi.method(name),
    compensate: busi.method(`${name}Revert`),
  }))
  busi.switches.transIn.setOnce('FAILURE')
  busi.switches.failureReason.setOnce('no account')
  const payloads = [transfer(), transfer()]
  await request('submit', { gid, trans_type: 'saga', protocol: 'json-rpc', steps, payloads })
  await dtm.waitProcessed(gid)
  expect(await dtm.status(gid)).toBe('failed')
  const methods = busi.calls.map(({ body }) => (JSON.parse(body) as { method: string }).method)
  expect(methods).toEqual(['TransOut', 'TransIn', 'TransInRevert', 'TransOutRevert'])
  expect((await dtm.transaction(gid))['rollback_reason']).toContain('no account')
})

test('an address without a method is called as ever', async () => {
  const gid = 'no-method'
  await submit({ ...message(gid), steps: [{ action: `${busi.url}/TransIn` }], payloads: [transfer()] })
  expect(await dtm.status(gid)).toBe('succeed')
  expect(busi.calls[0]?.path).toContain('/TransIn?gid=no-method')
})
