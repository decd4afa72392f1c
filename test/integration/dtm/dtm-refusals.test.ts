import { once } from 'node:events'
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { text as textOf } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { type DtmBusiness, dtmBusiness } from '../../support/dtm-business.ts'
import { dtmClient, messageRequest, oneStepSaga } from '../../support/dtm-client.ts'
import { dtmRelay } from '../../support/dtm-relay.ts'
import type { DtmRelay } from '../../support/dtm-steps.ts'

const TOKEN = 'a-token-of-some-length'

let db: TestDatabase
let busi: DtmBusiness
let relay: DtmRelay
let exposed: DtmRelay
const dtm = dtmClient(() => relay)

beforeAll(async () => {
  db = await database()
  busi = await dtmBusiness()
  relay = await dtmRelay(db.url, { metricsToken: TOKEN })
  exposed = await dtmRelay(db.url, { allowExposed: true })
})
afterAll(async () => {
  await Promise.all([relay.stop(), exposed.stop()])
  await busi.close()
  await db.drop()
})

/** Sends headers that `fetch` does not let a program choose. */
async function send(path: string, headers: Record<string, string>, body?: object, to = relay) {
  const { origin } = new URL(to.url)
  const sent = requestHttp(origin + path, { headers, method: body === undefined ? 'GET' : 'POST' })
  sent.end(body === undefined ? '' : JSON.stringify(body))
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  return { status: answer.statusCode, text: await textOf(answer) }
}

describe('what is not served', () => {
  test('a workflow has failed with a reason, in the form that its client reads whatever the status', async () => {
    const body = {
      gid: 'wf',
      trans_type: 'workflow',
      custom_data: '{"name":"wfn","data":""}',
      query_prepared: busi.url,
    }
    expect(await dtm.post('/prepareWorkflow', body)).toMatchObject({
      status: 200,
      json: {
        transaction: { gid: 'wf', status: 'failed', rollback_reason: 'workflows are not served here' },
        progresses: [],
      },
    })
    for (const unreadable of ['', '[]', '{"gid":7}']) {
      const { status, json } = await dtm.post('/prepareWorkflow', unreadable)
      expect(status).toBe(200)
      expect(json).toMatchObject({ transaction: { gid: '', status: 'failed' }, progresses: [] })
    }
    // For its client a 200 with this word is a failure of the call.
    expect((await dtm.post('/prepareWorkflow', body)).text).not.toContain('FAILURE')
  })

  test.each(['tcc', 'xa', 'workflow'])(
    '%s is refused by each of its calls with the same reason',
    async (trans_type) => {
      const refusal = { status: 500, json: { message: `trans type '${trans_type}' is not served here` } }
      for (const path of ['/prepare', '/submit', '/abort']) {
        expect(await dtm.post(path, { gid: `refused-${trans_type}`, trans_type })).toMatchObject(refusal)
      }
    },
  )

  test('an unknown gid has the text of DTM', async () => {
    expect(await dtm.post('/abort', { gid: 'G', trans_type: 'msg' })).toMatchObject({
      status: 500,
      json: { message: 'no TransGlobal with gid: G found' },
    })
  })

  test('a saga that was only announced is given up, though DTM does not', async () => {
    expect((await dtm.post('/prepare', oneStepSaga(busi, 'announced'))).status).toBe(200)
    expect((await dtm.post('/abort', { gid: 'announced', trans_type: 'saga' })).status).toBe(200)
    await dtm.waitProcessed('announced')
    expect(await dtm.status('announced')).toBe('failed')
    expect(busi.calls).toEqual([])
  })
})

describe('a page that a browser of this host shows', () => {
  const host = () => new URL(relay.url).host
  const SUBSCRIBE = '/api/dtmsvr/subscribe?topic=page&url=http%3A%2F%2F127.0.0.1%3A8080%2F'
  const FOREIGN = [
    { host: 'rebound.example.org' },
    { host: '127.0.0.1.example.org' },
    { origin: 'https://example.org' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ]

  test.each(FOREIGN)('reads and changes nothing: %j', async (headers) => {
    const submit = { ...messageRequest(busi, 'page'), steps: [{ action: `${busi.url}/TransIn` }] }
    const given = { host: host(), 'content-type': 'text/plain', ...headers }
    const answers = await Promise.all([
      send('/api/dtmsvr/submit', given, submit),
      send('/api/json-rpc', given, { jsonrpc: '2.0', id: 'x', method: 'submit', params: submit }),
      send(SUBSCRIBE, given),
      send('/api/dtmsvr/all', given),
      send('/api/metrics', given),
    ])
    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 403, 403])
    expect(answers[0]?.text).toContain('"message"')
    expect(await dtm.get('/query', { gid: 'page' })).toMatchObject({ json: { transaction: null } })
    expect(await dtm.get('/queryKV', { cat: 'topics', key: 'page' })).toMatchObject({ json: { kv: [] } })
    // Whoever reads that does not look at the status.
    const workflow = await send('/api/dtmsvr/prepareWorkflow', given, { gid: 'page' })
    expect(JSON.parse(workflow.text)).toMatchObject({ transaction: { status: 'failed' } })
  })

  test.each([
    {},
    { host: 'localhost:36789' },
    { host: '[::1]:36789' },
    { origin: 'http://localhost:3000' },
    { 'sec-fetch-site': 'none' },
  ])('programs and pages of this host are served: %j', async (headers) => {
    expect((await send('/api/dtmsvr/newGid', { host: host(), ...headers })).status).toBe(200)
  })

  test('where the network keeps others out, any name leads here, and still no page of another site', async () => {
    const { host: there } = new URL(exposed.url)
    expect((await send('/api/dtmsvr/newGid', { host: 'relay.internal' }, undefined, exposed)).status).toBe(200)
    const page = { host: there, origin: 'https://example.org' }
    expect((await send('/api/dtmsvr/newGid', page, undefined, exposed)).status).toBe(403)
  })
})

test('metrics need the token that they need elsewhere', async () => {
  const url = `${new URL(relay.url).origin}/api/metrics`
  expect((await fetch(url)).status).toBe(401)
  expect((await fetch(url, { headers: { authorization: `Bearer ${TOKEN}x` } })).status).toBe(401)
  const answer = await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } })
  expect(answer.status).toBe(200)
  expect(await answer.text()).toContain('postcommit_')
  expect((await fetch(`${new URL(exposed.url).origin}/api/metrics`)).status).toBe(200)
})
