import { createRelay } from '@postcommit/relay'
import { beforeAll, describe, expect, test } from 'vitest'
import { database } from '../../support/database.ts'
import { messageRequest, oneStepSaga, sagaRequest, type TransBody } from '../../support/dtm-client.ts'
import { LOOPBACK } from '../../support/dtm-steps.ts'
import { useStrictAndLenient } from '../../support/strict-and-lenient.ts'

const setting = useStrictAndLenient('strict')
const { dtm, newGid } = setting
const OK = { status: 200, json: { dtm_result: 'SUCCESS' } }

beforeAll(async () => {
  for (const name of ['TransOut', 'TransIn']) await dtm.subscribe('http_trans', `${setting.busi.url}/${name}`)
})

const submit = async (request: TransBody) => {
  expect(await dtm.post('/submit', request)).toMatchObject(OK)
  await dtm.waitProcessed(request.gid)
}
const wrong = (message: string | RegExp) => ({
  status: 500,
  json: { message: typeof message === 'string' ? message : expect.stringMatching(message) },
})

describe('where DTM is less careful', () => {
  test('an empty query_prepared is refused, at DTM it is a commit when its time has come', async () => {
    const message = { ...messageRequest(setting.busi, newGid()), query_prepared: '' }
    expect(await dtm.post('/prepare', message)).toMatchObject(wrong(/^query_prepared is empty/))
    setting.relay = setting.lenient
    expect(await dtm.post('/prepare', message)).toMatchObject(OK)
    await dtm.cronOnce(message.gid, { now: 60 })
    expect(await dtm.status(message.gid)).toBe('succeed')
  })

  test('the text of a branch decides nothing, at DTM a word of it does', async () => {
    const steps = [{ action: `${setting.busi.url}/QueryPrepared`, compensate: '' }]
    const text = '{"order":"FAILURE of a light bulb"}'
    for (const [current, status] of [
      [setting.strict, 'succeed'],
      [setting.lenient, 'failed'],
    ] as const) {
      setting.relay = current
      const gid = newGid()
      setting.busi.switches.queryPreparedText.setOnce(text)
      await submit({ ...oneStepSaga(setting.busi, gid), steps })
      expect(await dtm.status(gid)).toBe(status)
    }
  })

  test('another content under the same gid is a conflict; at DTM the first one is submitted, whatever was sent', async () => {
    for (const [current, status] of [
      [setting.strict, 409],
      [setting.lenient, 200],
    ] as const) {
      setting.relay = current
      const message = messageRequest(setting.busi, newGid())
      const other = { ...message, payloads: ['{"amount":31}'] }
      expect(await dtm.post('/prepare', message)).toMatchObject(OK)
      expect((await dtm.post('/prepare', other)).status).toBe(status)
      expect((await dtm.post('/submit', other)).status).toBe(status)
      if (status === 409) await dtm.post('/abort', message)
      else {
        await dtm.waitProcessed(message.gid)
        expect(setting.busi.calls.map(({ body }) => body)).toEqual([message.payloads[0], message.payloads[0]])
      }
    }
  })

  test('a submission that repeats nothing of the message takes it as it was prepared', async () => {
    const message = messageRequest(setting.busi, newGid())
    expect(await dtm.post('/prepare', message)).toMatchObject(OK)
    await submit({ gid: message.gid, trans_type: 'msg' })
    expect(await dtm.status(message.gid)).toBe('succeed')
    expect(setting.busi.names()).toEqual(['TransOut', 'TransIn'])
  })

  test('who waits for what is not finished is told so; at DTM as if it had failed', async () => {
    for (const [current, status] of [
      [setting.strict, 425],
      [setting.lenient, 409],
    ] as const) {
      setting.relay = current
      const gid = newGid()
      setting.busi.switches.transOut.setOnce('ONGOING')
      expect((await dtm.post('/submit', { ...sagaRequest(setting.busi, gid), wait_result: true })).status).toBe(status)
      await dtm.cronOnce(gid)
    }
  })

  test('a topic is read when the branch runs; at DTM when it is handed in', async () => {
    for (const [current, names] of [
      [setting.strict, ['TransOut', 'TransIn']],
      [setting.lenient, ['TransOut']],
    ] as const) {
      setting.relay = current
      setting.busi.calls.length = 0
      const topic = newGid()
      await dtm.subscribe(topic, `${setting.busi.url}/TransOut`)
      const message = { ...messageRequest(setting.busi, newGid()), steps: [{ action: `topic://${topic}` }] }
      expect(await dtm.post('/prepare', message)).toMatchObject(OK)
      await dtm.subscribe(topic, `${setting.busi.url}/TransIn`)
      await submit(message)
      expect(setting.busi.names()).toEqual(names)
    }
  })
})

describe('a prepared message is not asked about before its time, or one that is about to begin would be given up', () => {
  test.each([
    ['resetNextCronTime', (gid: string) => dtm.post('/resetNextCronTime', { gid })],
    ['resetCronTime', () => dtm.get('/resetCronTime', { timeout: '1', limit: '1000' })],
  ])('%s', async (_, hurry) => {
    for (const current of [setting.strict, setting.lenient]) {
      setting.relay = current
      const gid = newGid()
      expect(await dtm.post('/prepare', messageRequest(setting.busi, gid))).toMatchObject(OK)
      setting.busi.switches.queryPrepared.setOnce('FAILURE')
      expect((await hurry(gid)).status).toBe(200)
      await new Promise((resolve) => setTimeout(resolve, 500))
      expect(await dtm.status(gid)).toBe('prepared')
      expect(setting.busi.names()).not.toContain('QueryPrepared')
      setting.busi.switches.queryPrepared.fetch()
      await submit(messageRequest(setting.busi, gid))
      expect(await dtm.status(gid)).toBe('succeed')
    }
  })
})

describe('a gid', () => {
  test('may be up to 128 characters of anything that can be shown', async () => {
    const gid = `Zahlung/2026 & "ä" ${'x'.repeat(108)}`
    expect(gid).toHaveLength(127)
    await submit(oneStepSaga(setting.busi, gid))
    expect(await dtm.status(gid)).toBe('succeed')
    expect(setting.busi.calls[0]?.query.get('gid')).toBe(gid)
    expect((await dtm.get('/all', { gid })).json['transactions']).toHaveLength(1)
    expect(await dtm.post('/forceStop', { gid })).toMatchObject({ status: 409 })
  })

  test.each(['', 'x'.repeat(129), 'a\nb', 'a;b', 'a\0b', '\ud800', 7])('is not %j', async (gid) => {
    expect(await dtm.post('/submit', { ...oneStepSaga(setting.busi, 'x'), gid } as TransBody)).toMatchObject(
      wrong(/gid/),
    )
  })

  test('loses its semicolons only where DTM is followed', async () => {
    setting.relay = setting.lenient
    expect(await dtm.post('/submit', oneStepSaga(setting.busi, 'semi;colon'))).toMatchObject(OK)
    await dtm.waitProcessed('semicolon')
  })
})

describe('what cannot be read', () => {
  test.each([
    ['not JSON', 'the body is not JSON'],
    [[], 'not a JSON object'],
    [{ gid: 'x', steps: {} }, 'steps: not a list'],
    [{ gid: 'x', steps: [{ action: 7 }] }, 'action: not a string'],
    [{ gid: 'x', trans_type: 'saga', steps: [{ action: '' }] }, 'payloads: 0 of them for 1 steps'],
    [{ gid: 'x', trans_type: 'saga', retry_limit: '3' }, 'retry_limit: not a whole number'],
    [{ gid: 'x', trans_type: 'saga', wait_result: 1 }, 'wait_result: neither true nor false'],
    [{ gid: 'x', trans_type: 'tcc' }, "trans type 'tcc' is not served here"],
    [{ gid: 'x', trans_type: 'saga', custom_data: '[' }, 'custom_data: not a JSON object'],
    [{ gid: 'x', trans_type: 'msg', custom_data: '{"delay":-1}' }, /^custom_data: delay/],
    [{ gid: 'x', trans_type: 'saga', branch_headers: { host: 'x' } }, 'branch_headers: host is not allowed'],
    [{ gid: 'x', trans_type: 'saga', branch_headers: { a: 'x\r\ny' } }, /^branch_headers: the value of a/],
  ])('%j', async (body, message) => {
    expect(await dtm.post('/submit', body)).toMatchObject(wrong(message))
  })

  test.each([
    [{ concurrent: true, orders: { 0: [1], 1: [0] } }, 'custom_data: orders has a cycle'],
    [{ orders: { 0: [1] } }, 'custom_data: orders has a cycle'],
    [{ orders: { 1: [2] } }, 'custom_data: orders names a step that is not there'],
  ])('%j', async (custom, message) => {
    const saga = { ...sagaRequest(setting.busi, 'x'), custom_data: JSON.stringify(custom) }
    expect(await dtm.post('/submit', saga)).toMatchObject(wrong(message))
  })

  test('a page that is not there', async () => {
    expect(await dtm.get('/nothing')).toMatchObject({ status: 404, text: '404 page not found' })
  })
})

describe('addresses', () => {
  test.each([
    'http://169.254.169.254/latest',
    'http://127.0.0.1:1/',
    'http://user:x@127.0.0.1/',
    'http://127.0.0.1:443/',
  ])('%s is not called unless it is listed', async (action) => {
    const saga = { ...oneStepSaga(setting.busi, 'x'), steps: [{ action, compensate: '' }] }
    expect(await dtm.post('/submit', saga)).toMatchObject(wrong(/is not called by this relay/))
    expect(await dtm.get('/subscribe', { topic: 'x', url: action })).toMatchObject({ status: 500 })
  })

  test.each(['etcd://x/y', 'stock/deduct', 'localhost:8080/x', 'nats:orders'])('%s is none', async (action) => {
    const saga = { ...oneStepSaga(setting.busi, 'x'), steps: [{ action, compensate: '' }] }
    expect(await dtm.post('/submit', saga)).toMatchObject(wrong(/only http:\/\/ and https:\/\/ are called/))
  })
})

describe('abort and registerBranch', () => {
  test('a prepared message is given up, once', async () => {
    const gid = newGid()
    await dtm.post('/prepare', messageRequest(setting.busi, gid))
    expect(await dtm.post('/abort', { gid, trans_type: 'msg' })).toMatchObject(OK)
    expect(await dtm.status(gid)).toBe('failed')
    expect(await dtm.post('/abort', { gid, trans_type: 'msg' })).toMatchObject({
      status: 409,
      json: { message: "trans type: 'msg' current status 'failed', cannot abort. FAILURE" },
    })
    expect(await dtm.post('/submit', messageRequest(setting.busi, gid))).toMatchObject({
      status: 409,
      json: { message: "current status 'failed', cannot sumbmit. FAILURE" },
    })
  })

  test.each(['/registerBranch', '/registerXaBranch', '/registerTccBranch'])('%s knows no transaction', async (path) => {
    expect(await dtm.post(path, { gid: 'G', trans_type: 'tcc', branch_id: '01' })).toMatchObject({
      status: 409,
      json: { dtm_result: 'FAILURE', message: 'no trans with gid: G status: prepared found FAILURE' },
    })
    expect(await dtm.post(path, { gid: 'G', trans_type: 'x' })).toMatchObject(wrong('unknow trans type: x'))
  })
})

describe('a relay with dtm', () => {
  test('does not listen beyond this host unless that is wanted', () => {
    const open = (dtm: object) =>
      createRelay({
        db: setting.db.url,
        coordinator: { database: 'main' },
        dtm: { host: '0.0.0.0', port: 0, ...dtm },
      })
    expect(() => open({})).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_DTM_EXPOSED' }) as Error)
    expect(() => open({ allowExposed: true })).not.toThrow()
    expect(() => createRelay({ db: setting.db.url, dtm: {} })).toThrow(/dtm needs coordinator/)
  })

  test('serves its clients, and has no way to let time pass', async () => {
    // Of its own: a relay buries those that show no sign of life.
    await using own = await database()
    const served = createRelay({
      db: own.url,
      coordinator: { database: 'main', urls: LOOPBACK },
      dtm: { port: 0 },
    })
    try {
      const { dtm: url } = await served.listen()
      expect((await fetch(`${url}/api/dtmsvr/version`)).status).toBe(200)
      // It listens before it has read its database.
      expect(await (await fetch(`${url}/api/dtmsvr/query?gid=G`)).json()).toEqual({
        message: expect.stringContaining('the relay is being started') as string,
      })
      await served.start()
      setting.relay = { ...setting.strict, pool: own.pool, url: `${url}/api/dtmsvr` }
      const gid = newGid()
      await submit(sagaRequest(setting.busi, gid))
      expect(await dtm.status(gid)).toBe('succeed')
      expect((await dtm.post('/test/cronOnce', {})).status).toBe(404)
    } finally {
      await served.stop()
    }
  })
})
