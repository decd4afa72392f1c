import { expect } from 'vitest'
import type { DtmBusiness } from './dtm-business.ts'
import { type DtmRelay, untilProcessed } from './dtm-steps.ts'

/** An answer of the relay. */
export interface DtmAnswer {
  readonly status: number
  readonly text: string
  // What it is depends on the route; tests say what they expect of it.
  readonly json: Record<string, unknown>
}

/** What is handed in, with whatever options the test wants. */
export interface TransBody {
  readonly gid: string
  readonly [field: string]: unknown
}

/** What clients of DTM send, in their words. */
export interface DtmClient {
  get(path: string, query?: Record<string, string>): Promise<DtmAnswer>
  post(path: string, body: unknown): Promise<DtmAnswer>
  remove(path: string): Promise<DtmAnswer>
  subscribe(topic: string, url: string): Promise<DtmAnswer>
  unsubscribe(topic: string, url: string): Promise<DtmAnswer>
  status(gid: string): Promise<unknown>
  transaction(gid: string): Promise<Record<string, unknown>>
  branches(gid: string): Promise<unknown[]>
  /** One turn of the cron: expects that it takes `gid`, empty for none. */
  cronOnce(gid: string, forward?: { readonly now?: number; readonly cron?: number }): Promise<void>
  waitProcessed(gid: string): Promise<void>
}

/** A client of a relay. */
export function dtmClient(relay: () => DtmRelay): DtmClient {
  const send = async (method: string, path: string, body?: unknown): Promise<DtmAnswer> => {
    const answer = await fetch(relay().url + path, {
      method,
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await answer.text()
    let json: Record<string, unknown> = {}
    try {
      json = JSON.parse(text) as Record<string, unknown>
    } catch {
      // Metrics, and pages that are not found.
    }
    return { status: answer.status, text, json }
  }
  const get = (path: string, query: Record<string, string> = {}) => send('GET', `${path}?${new URLSearchParams(query)}`)
  const story = async (gid: string) =>
    (await get('/query', { gid })).json as { transaction: Record<string, unknown>; branches: { status: string }[] }
  return {
    get,
    post: (path, body) => send('POST', path, body),
    remove: (path) => send('DELETE', path),
    subscribe: (topic, url) => get('/subscribe', { topic, url, remark: 'for test' }),
    unsubscribe: (topic, url) => get('/unsubscribe', { topic, url }),
    status: async (gid) => (await story(gid)).transaction['status'],
    transaction: async (gid) => (await story(gid)).transaction,
    branches: async (gid) => (await story(gid)).branches.map(({ status }) => status),
    async cronOnce(gid, { now = 0, cron = 180 } = {}) {
      const { json } = await send('POST', '/test/cronOnce', { forwardNow: now, forwardCron: cron })
      expect(json['gid']).toBe(gid)
    },
    waitProcessed: (gid) => untilProcessed(relay().pool, gid),
  }
}

/** The request of DTM's tests: whether the two sides are to fail. */
export function transfer(outFailed = false, inFailed = false): string {
  const result = (failed: boolean) => (failed ? 'FAILURE' : 'SUCCESS')
  return JSON.stringify({ amount: 30, transInResult: result(inFailed), transOutResult: result(outFailed) })
}

/** A saga of two steps, as DTM's tests have it. */
export function sagaRequest(busi: DtmBusiness, gid: string, outFailed = false, inFailed = false) {
  const payload = transfer(outFailed, inFailed)
  return {
    gid,
    trans_type: 'saga',
    protocol: 'http',
    steps: [
      { action: `${busi.url}/TransOut`, compensate: `${busi.url}/TransOutRevert` },
      { action: `${busi.url}/TransIn`, compensate: `${busi.url}/TransInRevert` },
    ],
    payloads: [payload, payload],
  }
}

/** A saga of one step. */
export function oneStepSaga(busi: DtmBusiness, gid: string) {
  const { steps, payloads, ...rest } = sagaRequest(busi, gid)
  return { ...rest, steps: steps.slice(0, 1), payloads: payloads.slice(0, 1) }
}

/** A message to the topic `http_trans`, as DTM's tests have it. */
export function messageRequest(busi: DtmBusiness, gid: string) {
  return {
    gid,
    trans_type: 'msg',
    protocol: 'http',
    steps: [{ action: 'topic://http_trans' }],
    payloads: [transfer()],
    query_prepared: `${busi.url}/QueryPrepared`,
  }
}
