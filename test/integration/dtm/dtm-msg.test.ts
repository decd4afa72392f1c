import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { BUSINESS_TABLES, type DtmBusiness, dtmBusiness, insertMessageRow } from '../../support/dtm-business.ts'
import { dtmClient, messageRequest, type TransBody, transfer } from '../../support/dtm-client.ts'
import { dtmRelay } from '../../support/dtm-relay.ts'
import type { DtmRelay } from '../../support/dtm-steps.ts'

// The names are those of DTM's own tests, so that whoever knows the one finds the other.

let db: TestDatabase
let busi: DtmBusiness
let relay: DtmRelay
const dtm = dtmClient(() => relay)

beforeAll(async () => {
  db = await database()
  await db.pool.query(BUSINESS_TABLES)
  busi = await dtmBusiness(db.pool)
  relay = await dtmRelay(db.url, { alertUrl: `${busi.url}/AlertWebHook` })
  for (const name of ['TransOut', 'TransIn']) await dtm.subscribe('http_trans', `${busi.url}/${name}`)
})
afterAll(async () => {
  await relay.stop()
  await busi.close()
  await db.drop()
})
beforeEach(() => {
  busi.calls.length = 0
  busi.alerts.length = 0
})

const P = 'prepared'
const S = 'succeed'
const OK = { status: 200, json: { dtm_result: 'SUCCESS' } }
const prepare = async (message: TransBody) => expect(await dtm.post('/prepare', message)).toMatchObject(OK)
const submit = async (message: TransBody) => {
  expect(await dtm.post('/submit', message)).toMatchObject(OK)
  await dtm.waitProcessed(message.gid)
}

describe('msg', () => {
  test('TestMsgNormal', async () => {
    const gid = 'TestMsgNormal'
    await submit(messageRequest(busi, gid))
    expect(await dtm.branches(gid)).toEqual([S, S])
    expect(await dtm.status(gid)).toBe('succeed')
    expect(busi.calls.map(({ query }) => [query.get('branch_id'), query.get('op'), query.get('trans_type')])).toEqual([
      ['01-01', 'action', 'msg'],
      ['01-02', 'action', 'msg'],
    ])
  })

  test('TestMsgTimeoutSuccess', async () => {
    const gid = 'TestMsgTimeoutSuccess'
    await prepare(messageRequest(busi, gid))
    expect(await dtm.status(gid)).toBe('prepared')
    busi.switches.queryPrepared.setOnce('ONGOING')
    await dtm.cronOnce(gid, { now: 180 })
    expect(await dtm.status(gid)).toBe('prepared')
    busi.switches.transIn.setOnce('ONGOING')
    await dtm.cronOnce(gid, { now: 180 })
    expect(await dtm.status(gid)).toBe('submitted')
    await dtm.cronOnce(gid)
    expect(await dtm.branches(gid)).toEqual([S, S])
    expect(await dtm.status(gid)).toBe('succeed')
    expect(busi.calls[0]).toMatchObject({ method: 'GET', body: '' })
    const asked = Object.fromEntries(busi.calls[0]?.query ?? [])
    expect(asked).toEqual({ gid, trans_type: 'msg', branch_id: '00', op: 'msg' })
  })

  test('TestMsgTimeoutFailed', async () => {
    const gid = 'TestMsgTimeoutFailed'
    await prepare(messageRequest(busi, gid))
    expect(await dtm.status(gid)).toBe('prepared')
    busi.switches.queryPrepared.setOnce('ONGOING')
    await dtm.cronOnce(gid, { now: 360 })
    expect(await dtm.status(gid)).toBe('prepared')
    busi.switches.queryPrepared.setOnce('FAILURE')
    await dtm.cronOnce(gid, { now: 180 })
    expect(await dtm.branches(gid)).toEqual([P, P])
    expect(await dtm.status(gid)).toBe('failed')
  })

  test('TestMsgAbnormal', async () => {
    const gid = 'TestMsgAbnormal'
    const message = messageRequest(busi, gid)
    await prepare(message)
    await prepare(message)
    await submit(message)
    expect(await dtm.post('/prepare', message)).toMatchObject({
      status: 409,
      json: { dtm_result: 'FAILURE', message: "current status 'succeed', cannot prepare. FAILURE" },
    })
  })

  test('TestMsgTopicNotFoundFailed', async () => {
    const message = { ...messageRequest(busi, 'TestMsgTopicNotFoundFailed'), steps: [{ action: 'topic://nobody' }] }
    expect(await dtm.post('/submit', message)).toMatchObject({ status: 500, json: { message: 'topic not found' } })
  })
})

describe('msg options', () => {
  test('TestMsgOptionsTimeout', async () => {
    const gid = 'TestMsgOptionsTimeout'
    await prepare(messageRequest(busi, gid))
    await dtm.cronOnce(gid)
    expect(await dtm.status(gid)).toBe('prepared')
    expect(busi.calls).toEqual([])
    await dtm.cronOnce(gid, { now: 60 })
    expect(await dtm.status(gid)).toBe('succeed')
  })

  test('TestMsgOptionsTimeoutCustom', async () => {
    const gid = 'TestMsgOptionsTimeoutCustom'
    await prepare({ ...messageRequest(busi, gid), timeout_to_fail: 120 })
    await dtm.cronOnce(gid)
    expect(await dtm.status(gid)).toBe('prepared')
    await dtm.cronOnce(gid, { now: 60 })
    expect(await dtm.status(gid)).toBe('prepared')
    await dtm.cronOnce(gid, { now: 180 })
    expect(await dtm.status(gid)).toBe('succeed')
  })

  test('TestMsgOptionsTimeoutFailed', async () => {
    const gid = 'TestMsgOptionsTimeoutFailed'
    await prepare({ ...messageRequest(busi, gid), timeout_to_fail: 120 })
    await dtm.cronOnce(gid)
    expect(await dtm.status(gid)).toBe('prepared')
    await dtm.cronOnce(gid, { now: 60 })
    expect(await dtm.status(gid)).toBe('prepared')
    busi.switches.queryPrepared.setOnce('FAILURE')
    await dtm.cronOnce(gid, { now: 180 })
    expect(await dtm.status(gid)).toBe('failed')
  })

  test('TestMsgConcurrent', async () => {
    const gid = 'TestMsgConcurrent'
    await submit({ ...messageRequest(busi, gid), concurrent: true })
    expect(await dtm.branches(gid)).toEqual([S, S])
    expect(await dtm.status(gid)).toBe('succeed')
  })
})

describe('msg delay', () => {
  const delayed = (gid: string) => ({
    ...messageRequest(busi, gid),
    steps: [{ action: `${busi.url}/TransOut` }, { action: `${busi.url}/TransIn` }],
    payloads: [transfer(), transfer()],
  })
  const custom_data = '{"delay":10}'

  const isDelayed = async (gid: string) => {
    expect(await dtm.branches(gid)).toEqual([P, P])
    expect(await dtm.status(gid)).toBe('submitted')
    await dtm.cronOnce('', { cron: 0 })
    await dtm.cronOnce('', { cron: 8 })
    await dtm.cronOnce(gid, { cron: 12 })
    expect(await dtm.branches(gid)).toEqual([S, S])
    expect(await dtm.status(gid)).toBe('succeed')
  }

  test('TestMsgDelayNormal', async () => {
    const gid = 'TestMsgDelayNormal'
    await submit({ ...delayed(gid), custom_data })
    await isDelayed(gid)
  })

  test('a delay that only the submission names holds for a message that was prepared without it', async () => {
    const gid = 'DelayAfterPrepare'
    await prepare(delayed(gid))
    await submit({ ...delayed(gid), custom_data })
    await isDelayed(gid)
  })

  test('a delay that the prepare names holds after a back-query as well', async () => {
    const gid = 'DelayAfterBackQuery'
    await prepare({ ...delayed(gid), custom_data })
    await dtm.cronOnce(gid, { now: 60 })
    await isDelayed(gid)
  })
})

describe('msg webhook', () => {
  test.each(['TestMsgWebhook', 'TestMsgWebhookError'])('%s', async (gid) => {
    busi.switches.transIn.setOnce('ERROR')
    await submit(messageRequest(busi, gid))
    expect(await dtm.status(gid)).toBe('submitted')
    busi.switches.transIn.setOnce('ERROR')
    await dtm.cronOnce(gid)
    busi.switches.transIn.setOnce('ERROR')
    expect(busi.alerts).toEqual([])
    await dtm.cronOnce(gid)
    await expect
      .poll(() => busi.alerts)
      .toEqual([{ gid, status: 'submitted', branch: `${busi.url}/TransIn`, error: 'answered 500', retry_count: 3 }])
    await dtm.cronOnce(gid)
    expect(await dtm.branches(gid)).toEqual([S, S])
    expect(await dtm.status(gid)).toBe('succeed')
  })
})

describe('msg barrier', () => {
  const message = (gid: string) => ({
    ...messageRequest(busi, gid),
    steps: [{ action: `${busi.url}/SagaBTransIn` }],
    query_prepared: `${busi.url}/QueryPreparedB`,
  })
  const balances = async () => {
    const { rows } = await db.pool.query<{ balance: number }>('select balance from account order by id desc')
    return rows.map(({ balance }) => balance)
  }
  beforeEach(async () => {
    await db.pool.query('update account set balance = 10000')
  })

  /** As DTM's Go client goes about it; `commitFails`: what the client is told although the commit went through, or not. */
  const doAndSubmit = async (gid: string, fails: 'no' | 'business' | 'commit' | 'after commit' = 'no') => {
    const request = message(gid)
    const prepared = await dtm.post('/prepare', request)
    if (prepared.status !== 200) return 'not prepared'
    const tx = await db.pool.connect()
    let failed = false
    try {
      await tx.query('begin')
      if ((await insertMessageRow(tx, gid, 'msg')) === 0) throw new Error('DUPLICATED')
      if (fails === 'business') throw new Error('an error')
      await tx.query("update account set balance = balance - 30 where id = 'out'")
      await tx.query(fails === 'commit' ? 'rollback' : 'commit')
      failed = fails !== 'no'
    } catch {
      await tx.query('rollback')
      failed = true
    } finally {
      tx.release()
    }
    if (failed) {
      const asked = await fetch(`${request.query_prepared}?gid=${gid}&branch_id=00&trans_type=msg&op=msg`)
      if (asked.status === 409) {
        await dtm.post('/abort', request)
        return 'aborted'
      }
    }
    await submit(request)
    return failed ? 'submitted after an error' : 'submitted'
  }

  test('TestMsgDoAndSubmit', async () => {
    const gid = 'TestMsgDoAndSubmit'
    expect(await doAndSubmit(gid)).toBe('submitted')
    expect(await dtm.branches(gid)).toEqual([S])
    expect(await dtm.status(gid)).toBe('succeed')
    expect(await balances()).toEqual([9970, 10030])
  })

  test('TestMsgDoAndSubmitBusiFailed', async () => {
    expect(await doAndSubmit('TestMsgDoAndSubmitBusiFailed', 'business')).toBe('aborted')
    expect(await dtm.status('TestMsgDoAndSubmitBusiFailed')).toBe('failed')
    expect(await balances()).toEqual([10000, 10000])
  })

  test('TestMsgDoAndSubmitBusiLater', async () => {
    const gid = 'TestMsgDoAndSubmitBusiLater'
    await fetch(`${busi.url}/QueryPreparedB?gid=${gid}&branch_id=00&trans_type=msg&op=msg`)
    expect(await doAndSubmit(gid)).toBe('aborted')
    expect(await balances()).toEqual([10000, 10000])
  })

  test('TestMsgDoAndSubmitPrepareFailed', async () => {
    const before = relay
    relay = { ...relay, url: `${relay.url}not-exists` }
    expect(await doAndSubmit('TestMsgDoAndSubmitPrepareFailed')).toBe('not prepared')
    relay = before
    expect(await balances()).toEqual([10000, 10000])
  })

  test('TestMsgDoAndSubmitCommitFailed', async () => {
    expect(await doAndSubmit('TestMsgDoAndSubmitCommitFailed', 'commit')).toBe('aborted')
    expect(await balances()).toEqual([10000, 10000])
  })

  test('TestMsgDoAndSubmitCommitAfterFailed', async () => {
    const gid = 'TestMsgDoAndSubmitCommitAfterFailed'
    expect(await doAndSubmit(gid, 'after commit')).toBe('submitted after an error')
    expect(await balances()).toEqual([9970, 10030])
  })
})
