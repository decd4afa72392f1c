import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { type DtmBusiness, dtmBusiness } from '../../support/dtm-business.ts'
import { dtmClient, messageRequest, sagaRequest, type TransBody } from '../../support/dtm-client.ts'
import { dtmRelay } from '../../support/dtm-relay.ts'
import type { DtmRelay } from '../../support/dtm-steps.ts'
import { insertTransaction } from '../../support/transactions.ts'

// The names are those of DTM's own tests, so that whoever knows the one finds the other.

let db: TestDatabase
let busi: DtmBusiness
let relay: DtmRelay
const dtm = dtmClient(() => relay)

beforeAll(async () => {
  db = await database()
  busi = await dtmBusiness()
  relay = await dtmRelay(db.url)
  for (const name of ['TransOut', 'TransIn']) await dtm.subscribe('http_trans', `${busi.url}/${name}`)
})
afterAll(async () => {
  await relay.stop()
  await busi.close()
  await db.drop()
})

const OK = { status: 200, json: { dtm_result: 'SUCCESS' } }
const submit = async (request: TransBody) => {
  expect(await dtm.post('/submit', request)).toMatchObject(OK)
  await dtm.waitProcessed(request.gid)
}
const wrong = (message: string) => ({ status: 500, json: { message } })
const unknownGid = wrong('no TransGlobal with gid: nobody found')
const list = (json: Record<string, unknown>, name: string) => json[name] as Record<string, unknown>[]

describe('api', () => {
  test('TestAPIVersion', async () => {
    expect(await dtm.get('/version')).toMatchObject({ status: 200, json: { version: expect.stringMatching(/^v\d/) } })
  })

  test('TestMustGenGid', async () => {
    const { status, json } = await dtm.get('/newGid')
    expect(status).toBe(200)
    expect(json).toEqual({ gid: expect.stringMatching(/^[\w-]{22}$/), dtm_result: 'SUCCESS' })
  })

  test('TestAPIQuery', async () => {
    const gid = 'TestAPIQuery'
    await submit(messageRequest(busi, gid))
    const { status, json } = await dtm.get('/query', { gid })
    expect(status).toBe(200)
    expect(json['transaction']).toMatchObject({
      gid,
      trans_type: 'msg',
      status: 'succeed',
      query_prepared: `${busi.url}/QueryPrepared`,
      protocol: 'http',
      concurrent: false,
      next_cron_interval: 10,
      create_time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      finish_time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    })
    expect(list(json, 'branches')).toMatchObject([
      { gid, branch_id: '01-01', op: 'action', status: 'succeed', url: `${busi.url}/TransOut` },
      { gid, branch_id: '01-02', op: 'action', status: 'succeed', url: `${busi.url}/TransIn` },
    ])
    const [first] = list(json, 'branches')
    expect(Buffer.from(String(first?.['bin_data']), 'base64').toString()).toBe(messageRequest(busi, gid).payloads[0])
    expect(await dtm.get('/query', { gid: '' })).toMatchObject(wrong('no gid specified'))
    expect(await dtm.get('/query', { gid: '1' })).toMatchObject({
      status: 200,
      json: { transaction: null, branches: [] },
    })
  })

  test('TestAPIAll', async () => {
    const startedAt = Date.now()
    for (const n of [0, 1, 2]) await submit(messageRequest(busi, `TestAPIAll${n}`))
    const first = await dtm.get('/all', { limit: '1' })
    const position = String(first.json['next_position'])
    expect(list(first.json, 'transactions')).toHaveLength(1)
    expect(position).not.toBe('')
    const found = await dtm.get('/all', { gid: 'TestAPIAll1' })
    expect(list(found.json, 'transactions')).toMatchObject([{ gid: 'TestAPIAll1' }])
    const second = await dtm.get('/all', { limit: '1', position })
    expect(second.json['next_position']).not.toBe('')
    expect(second.json['next_position']).not.toBe(position)
    const rest = await dtm.get('/all', { limit: '1000', position })
    expect(rest.json['next_position']).toBe('')
    const filter = (from: number, until: number) => ({
      limit: '10',
      status: 'succeed',
      transType: 'msg',
      createTimeStart: String(startedAt + from * 60_000),
      createTimeEnd: String(Date.now() + until * 60_000),
    })
    const recent = await dtm.get('/all', filter(-1, 1))
    expect(list(recent.json, 'transactions').length).toBeGreaterThanOrEqual(3)
    for (const one of list(recent.json, 'transactions'))
      expect(one).toMatchObject({ trans_type: 'msg', status: 'succeed' })
    expect(recent.json['next_position']).toBe('')
    expect((await dtm.get('/all', filter(-10, -5))).json).toEqual({ transactions: [], next_position: '' })
    expect(await dtm.get('/all', { limit: 'x' })).toMatchObject(wrong('convert to int error: x'))
  })

  test('TestAPIScanKV', async () => {
    for (const n of [0, 1, 2]) await dtm.subscribe(`test_topic${n}`, 'http://dtm/test1')
    const first = await dtm.get('/scanKV', { cat: 'topics', limit: '1' })
    const position = String(first.json['next_position'])
    expect(list(first.json, 'kv')).toHaveLength(1)
    expect(position).not.toBe('')
    const second = await dtm.get('/scanKV', { cat: 'topics', limit: '1', position })
    expect(second.json['next_position']).not.toBe('')
    expect(second.json['next_position']).not.toBe(position)
    const rest = await dtm.get('/scanKV', { cat: 'topics', limit: '1000', position })
    expect(rest.json['next_position']).toBe('')
  })

  test('TestAPIQueryKV', async () => {
    await dtm.subscribe('test_topic_TestAPIQueryKV', 'http://dtm/test1')
    const { json } = await dtm.get('/queryKV', { cat: 'topics', key: 'test_topic_TestAPIQueryKV' })
    expect(list(json, 'kv')).toMatchObject([
      {
        cat: 'topics',
        k: 'test_topic_TestAPIQueryKV',
        v: '[{"url":"http://dtm/test1","remark":"for test"}]',
        version: 1,
      },
    ])
    expect((await dtm.get('/queryKV', { cat: 'topics', key: 'nobody' })).json).toEqual({ kv: [] })
  })

  test('TestDtmMetrics', async () => {
    const answer = await fetch(`${new URL(relay.url).origin}/api/metrics`)
    expect(answer.status).toBe(200)
    expect(await answer.text()).toContain('postcommit_')
    const ping = await fetch(`${new URL(relay.url).origin}/api/ping`, { method: 'POST' })
    expect(await ping.json()).toEqual({ msg: 'pong' })
  })

  test('TestAPIForceStoppedNormal', async () => {
    const gid = 'TestAPIForceStoppedNormal'
    busi.switches.transOut.setOnce('ONGOING')
    await submit(sagaRequest(busi, gid))
    expect(await dtm.status(gid)).toBe('submitted')
    expect(await dtm.post('/forceStop', { gid })).toMatchObject(OK)
    expect(await dtm.status(gid)).toBe('failed')
  })

  test('TestAPIForceStoppedAbnormal', async () => {
    const gid = 'TestAPIForceStoppedAbnormal'
    await submit(sagaRequest(busi, gid))
    expect(await dtm.status(gid)).toBe('succeed')
    expect(await dtm.post('/forceStop', { gid })).toMatchObject({
      status: 409,
      json: { message: 'global transaction force stop error. status: succeed. error: FAILURE' },
    })
    expect(await dtm.post('/forceStop', { gid: 'nobody' })).toMatchObject(unknownGid)
  })

  // At DTM the time of a transaction that has ended is moved as well, to no effect; here one that waits goes on.
  test('TestAPIResetNextCronTime', async () => {
    const gid = 'TestAPIResetNextCronTime'
    busi.switches.transOut.setOnce('ERROR')
    await submit(sagaRequest(busi, gid))
    expect(await dtm.status(gid)).toBe('submitted')
    expect(await dtm.post('/resetNextCronTime', { gid })).toMatchObject(OK)
    await dtm.waitProcessed(gid)
    expect(await dtm.status(gid)).toBe('succeed')
    expect(await dtm.post('/resetNextCronTime', { gid })).toMatchObject(OK)
    expect(await dtm.post('/resetNextCronTime', { gid: 'nobody' })).toMatchObject(unknownGid)
  })

  test('TestAPIResetCronTime', async () => {
    const waiting = async (n: number, dueInMs: number) => {
      const operations = [{ branch: '01', op: 'action', target: '' }]
      await insertTransaction(db.pool, { gid: `TestAPIResetCronTime${n}`, status: 'submitted', dueInMs, operations })
    }
    for (let n = 0; n < 10; n += 1) await waiting(n, 110_000)
    await waiting(10, 90_000)
    const reset = async (timeout: number, limit: number) =>
      (await dtm.get('/resetCronTime', { timeout: String(timeout), limit: String(limit) })).json
    expect(await reset(100, 9)).toEqual({ has_remaining: true, succeed_count: 9 })
    expect(await reset(100, 10)).toEqual({ has_remaining: false, succeed_count: 1 })
    expect(await reset(88, 10)).toEqual({ has_remaining: false, succeed_count: 1 })
    expect(await reset(88, 10)).toEqual({ has_remaining: false, succeed_count: 0 })
    for (let n = 0; n < 11; n += 1) await dtm.waitProcessed(`TestAPIResetCronTime${n}`)
  })
})

describe('topic', () => {
  test('TestTopicNormal', async () => {
    const topic = 'test_topic_TestTopicNormal'
    expect(await dtm.subscribe(topic, 'http://dtm/test1')).toMatchObject(OK)
    expect(await dtm.subscribe(topic, 'http://dtm/test1')).toMatchObject(wrong('this url exists'))
    expect(await dtm.subscribe('', 'http://dtm/test1')).toMatchObject(wrong('empty topic'))
    expect(await dtm.subscribe(topic, '')).toMatchObject(wrong('empty url'))
    expect(await dtm.subscribe(topic, 'http://dtm/test2')).toMatchObject(OK)
    expect(await dtm.unsubscribe(topic, 'http://dtm/test1')).toMatchObject(OK)
    expect(await dtm.unsubscribe(topic, 'http://dtm/test1')).toMatchObject(wrong('no such an url '))
    expect(await dtm.unsubscribe('', 'http://dtm/test1')).toMatchObject(wrong('empty topic'))
    expect(await dtm.unsubscribe(topic, '')).toMatchObject(wrong('empty url'))
    expect(await dtm.unsubscribe('non_existent_topic', 'http://dtm/test1')).toMatchObject(wrong('no such a topic'))
    expect(await dtm.unsubscribe(topic, 'http://dtm/test2')).toMatchObject(OK)
    expect(await dtm.unsubscribe(topic, 'http://dtm/test2')).toMatchObject(wrong('this topic is empty'))
    expect(await dtm.remove('/topic/non_existent_testDeleteTopic')).toMatchObject(wrong('storage: NotFound'))
    expect(await dtm.remove(`/topic/${topic}`)).toMatchObject(OK)
  })

  test('TestConcurrentUpdateTopic', async () => {
    const topic = 'concurrent_topic_TestConcurrentUpdateTopic'
    const urls = Array.from({ length: 20 }, (_, n) => `http://dtm/test${n}`)
    const answers = await Promise.all(urls.map((url) => dtm.subscribe(topic, url)))
    const taken = urls.filter((_, n) => answers[n]?.status === 200)
    // DTM lets all but one of those that come together fail.
    expect(taken).toHaveLength(20)
    for (const url of taken) expect(await dtm.unsubscribe(topic, url)).toMatchObject(OK)
    const { json } = await dtm.get('/queryKV', { cat: 'topics', key: topic })
    expect(list(json, 'kv')).toMatchObject([{ version: 2 * taken.length }])
  })
})
