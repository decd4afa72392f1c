import { describe, expect, onTestFinished, test } from 'vitest'
import { messageRequest, oneStepSaga, sagaRequest, transfer } from '../../support/dtm-client.ts'
import { useStrictAndLenient } from '../../support/strict-and-lenient.ts'

// What services of DTM answer in the wild: `dtm_result` with one status or another, or what its wrapper of handlers says.

const setting = useStrictAndLenient('answers')
const { dtm, newGid } = setting
const OK = { status: 200, json: { dtm_result: 'SUCCESS' } }

const message = (gid: string) => ({
  ...messageRequest(setting.busi, gid),
  steps: [{ action: `${setting.busi.url}/TransIn` }],
})
/** A saga whose second step is answered as the test says. */
const sagaOf = (gid: string) => ({
  ...sagaRequest(setting.busi, gid),
  steps: [
    { action: `${setting.busi.url}/TransOut`, compensate: `${setting.busi.url}/TransOutRevert` },
    { action: `${setting.busi.url}/QueryPrepared`, compensate: `${setting.busi.url}/TransInRevert` },
  ],
})

describe('a back-query that is answered', () => {
  test.each([
    ['200', 'null', 'succeed', 'succeed'],
    ['200', '{}', 'succeed', 'succeed'],
    ['200', '{"dtm_result":"SUCCESS"}', 'succeed', 'succeed'],
    ['200', '{"dtm_result":"FAILURE"}', 'failed', 'failed'],
    ['409', '{"error":"FAILURE"}', 'failed', 'failed'],
    ['409', '{"dtm_result":"DTMFAILUREERROR"}', 'failed', 'failed'],
    ['200', '<html>It works</html>', 'prepared', 'succeed'],
    ['409', '<html>Conflict</html>', 'prepared', 'failed'],
    ['200', 'all ONGOING orders', 'prepared', 'prepared'],
  ] as const)('%s %s leaves the message %s, at DTM %s', async (status, text, here, there) => {
    for (const [current, expected] of [
      [setting.strict, here],
      [setting.lenient, there],
    ] as const) {
      setting.relay = current
      const gid = newGid()
      expect(await dtm.post('/prepare', message(gid))).toMatchObject(OK)
      setting.busi.switches.queryPreparedText.setOnce(text)
      if (status === '409') setting.busi.switches.queryPreparedStatus.setOnce(status)
      await dtm.cronOnce(gid, { now: 60 })
      expect(await dtm.status(gid)).toBe(expected)
      await dtm.post('/abort', { gid, trans_type: 'msg' })
    }
  })

  test('by nothing that decides is put again after 20 s, and each time after twice as long', async () => {
    const gid = newGid()
    expect(await dtm.post('/prepare', message(gid))).toMatchObject(OK)
    // What is left undecided would be found by the steps of the next tests.
    onTestFinished(async () => void (await dtm.post('/abort', { gid, trans_type: 'msg' })))
    for (const seconds of [20, 40, 80, 160]) {
      setting.busi.switches.queryPreparedText.setOnce('<html>It works</html>')
      await dtm.cronOnce(gid, { now: 180 })
      const { next_cron_time, update_time } = await dtm.transaction(gid)
      const pause = (Date.parse(String(next_cron_time)) - Date.parse(String(update_time))) / 1000
      expect(pause / seconds).toBeGreaterThan(0.8)
      // What the relay needs to write it down is part of it; a step too far would be 2.
      expect(pause / seconds).toBeLessThan(1.5)
    }
  })
})

describe('a step of a saga that answers 200', () => {
  test.each(['{"dtm_result":"FAILURE","message":"no stock"}', '{"dtm_result":"DTMFAILUREERROR"}'])(
    'with %s has failed, and the saga is undone',
    async (text) => {
      const gid = newGid()
      setting.busi.switches.queryPreparedText.setOnce(text)
      expect(await dtm.post('/submit', sagaOf(gid))).toMatchObject(OK)
      await dtm.waitProcessed(gid)
      expect(await dtm.status(gid)).toBe('failed')
      expect(setting.busi.names()).toEqual(['TransOut', 'QueryPrepared', 'TransInRevert', 'TransOutRevert'])
      expect((await dtm.transaction(gid))['rollback_reason']).toContain(text)
    },
  )

  test('with {"dtm_result":"ONGOING"} is called again', async () => {
    const gid = newGid()
    setting.busi.switches.queryPreparedText.setOnce('{"dtm_result":"ONGOING"}')
    expect(await dtm.post('/submit', sagaOf(gid))).toMatchObject(OK)
    await dtm.waitProcessed(gid)
    expect(await dtm.status(gid)).toBe('submitted')
    await dtm.cronOnce(gid)
    expect(await dtm.status(gid)).toBe('succeed')
  })

  test('with a method that has no result is done', async () => {
    const gid = newGid()
    const steps = [{ action: setting.busi.method('NoResult'), compensate: '' }]
    expect(await dtm.post('/submit', { ...oneStepSaga(setting.busi, gid), protocol: 'json-rpc', steps })).toMatchObject(
      OK,
    )
    await dtm.waitProcessed(gid)
    expect(await dtm.status(gid)).toBe('succeed')
  })
})

describe('who waits for a transaction that is not finished, where DTM is followed,', () => {
  const waiting = async (content: object, result: 'ERROR' | 'ONGOING' | 'FAILURE') => {
    setting.relay = setting.lenient
    const gid = newGid()
    setting.busi.switches.transIn.setOnce(result)
    const { status, json } = await dtm.post('/submit', { ...content, gid, wait_result: true })
    await dtm.cronOnce(gid)
    return { status, message: String(json['message']) }
  }
  const UNKNOWN = 'your http/grpc result should be specified as in:\nhttp://d.dtm.pub/practice/arch.html#proto\n'

  test('is told of the error of a branch of a message with 500', async () => {
    expect(await waiting(message(''), 'ERROR')).toEqual({
      status: 500,
      message: `${UNKNOWN}unkown result will be retried: answered 500`,
    })
  })

  test('is told of a branch of a message that refuses with 409', async () => {
    const { status, message: said } = await waiting(message(''), 'FAILURE')
    expect(status).toBe(409)
    expect(said.startsWith(UNKNOWN)).toBe(true)
    expect(said).toMatch(/ FAILURE$/)
  })

  test('is told 409 for a branch that is not ready, and for a saga', async () => {
    const told = { status: 409, message: 'wait result not return success: FAILURE' }
    expect(await waiting(message(''), 'ONGOING')).toEqual(told)
    const saga = {
      ...oneStepSaga(setting.busi, ''),
      steps: [{ action: `${setting.busi.url}/TransIn`, compensate: '' }],
    }
    expect(await waiting({ ...saga, payloads: [transfer()] }, 'ERROR')).toEqual(told)
  })
})
