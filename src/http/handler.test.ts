import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { afterAll, describe, expect, test } from 'vitest'
import type { Inbox } from '../inbox/inbox.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { DeliveryPostponed, DeliveryRefused } from '../protocol/refusal.ts'
import { type CommonHandlerOptions, type DeliveryHandler, type HandlerOptions, handler } from './handler.ts'
import type { CallDelivery } from './read-call.ts'

const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const otherSecret = `whsec_${Buffer.alloc(32, 8).toString('base64')}`

interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly body: string
}

type Send = (
  to: DeliveryHandler,
  body: string | Uint8Array,
  headers: Record<string, string>,
  method?: string,
) => Promise<Reply>

const closers: (() => void)[] = []
afterAll(() => {
  for (const close of closers) close()
})

async function listen(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const shapes: readonly { readonly shape: string; readonly send: Send }[] = [
  {
    shape: 'node',
    send: async (to, body, headers, method = 'POST') => {
      const response = await fetch(await listen(to.node), { method, headers, body: method === 'GET' ? null : body })
      return { status: response.status, headers: response.headers, body: await response.text() }
    },
  },
  {
    shape: 'fetch',
    send: async (to, body, headers, method = 'POST') => {
      const init = { method, headers, body: method === 'GET' ? null : body }
      const response = await to.fetch(new Request('http://stock/deduct', init))
      return { status: response.status, headers: response.headers, body: await response.text() }
    },
  },
]

/** The headers of a call, signed by the reference implementation of Standard Webhooks. */
function signed(
  body: string,
  change: Record<string, string | undefined> = {},
  at = new Date(),
): Record<string, string> {
  const headers = {
    'content-type': 'application/json',
    'webhook-id': 'order-1:2',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign('order-1:2', at, body),
    'postcommit-gid': 'order-1',
    'postcommit-branch': '2',
    ...change,
  }
  return Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}

function recording(
  options: Partial<CommonHandlerOptions<unknown>> & { handle?: HandlerOptions<unknown>['handle'] } = {},
) {
  const seen: CallDelivery[] = []
  const errors: unknown[] = []
  const made = handler({
    secrets: [secret],
    handle: (delivery) => void seen.push(delivery),
    onError: (error) => errors.push(error),
    ...options,
  })
  return { handler: made, seen, errors }
}

const body = '{"sku": "a", "n": 12345678901234567890}'

describe.each(shapes)('handler.$shape', ({ send }) => {
  test('hands a signed call over and confirms it', async () => {
    const { handler: deduct, seen } = recording()
    const reply = await send(
      deduct,
      body,
      signed(body, { 'postcommit-key': 'caf%C3%A9', 'postcommit-attempt': '3', 'x-trace': 't' }),
    )
    expect(reply).toMatchObject({ status: 204, body: '' })
    expect(seen).toMatchObject([
      {
        id: 'order-1:2',
        gid: 'order-1',
        branch: 2,
        key: 'café',
        attempt: 3,
        content: body,
        payload: { sku: 'a' },
        headers: { 'x-trace': 't' },
      },
    ])
  })

  test('bytes stay bytes', async () => {
    const { handler: deduct, seen } = recording({ secrets: 'unsigned' })
    const bytes = new Uint8Array([0, 255, 13, 10])
    const reply = await send(deduct, bytes, { 'content-type': 'application/octet-stream', 'webhook-id': 'g:1' })
    expect(reply.status).toBe(204)
    expect(seen[0]?.payload).toEqual(Buffer.from(bytes))
  })

  test('takes either secret while one is being replaced', async () => {
    expect((await send(recording({ secrets: [otherSecret, secret] }).handler, body, signed(body))).status).toBe(204)
  })

  const hour = new Date(Date.now() - 3_600_000)
  test.each([
    ['no signature', signed(body, { 'webhook-signature': undefined }), body, 'POSTCOMMIT_SIGNATURE_MISSING'],
    ['no timestamp', signed(body, { 'webhook-timestamp': undefined }), body, 'POSTCOMMIT_SIGNATURE_MISSING'],
    [
      'a timestamp that is no number',
      signed(body, { 'webhook-timestamp': 'now' }),
      body,
      'POSTCOMMIT_SIGNATURE_INVALID',
    ],
    [
      'bad base64',
      signed(body, { 'webhook-signature': 'v1,§§'.replace(/§/g, '*') }),
      body,
      'POSTCOMMIT_SIGNATURE_INVALID',
    ],
    [
      'another id than was signed',
      signed(body, { 'webhook-id': 'order-1:3', 'postcommit-branch': '3' }),
      body,
      'POSTCOMMIT_SIGNATURE_INVALID',
    ],
    [
      'a body that was serialised again',
      signed(body),
      JSON.stringify(JSON.parse(body)),
      'POSTCOMMIT_SIGNATURE_INVALID',
    ],
    ['an old signature', signed(body, {}, hour), body, 'POSTCOMMIT_TIMESTAMP_OUT_OF_RANGE'],
  ])('answers 401 to %s and runs nothing', async (_, headers, content, code) => {
    const { handler: deduct, seen } = recording()
    const reply = await send(deduct, content, headers)
    expect(reply.status).toBe(401)
    expect(reply.headers.get('content-type')).toBe('application/problem+json')
    expect(JSON.parse(reply.body)).toMatchObject({ status: 401, code, type: 'about:blank' })
    expect(seen).toEqual([])
  })

  test.each([
    ['an id that is none', 400, { 'webhook-id': 'what' }, body],
    ['a gid header that names another message', 400, { 'postcommit-gid': 'order-2' }, body],
    ['a branch header that names another message', 400, { 'postcommit-branch': '7' }, body],
    ['a key that does not decode', 400, { 'postcommit-key': '%E0%A4%A' }, body],
    ['content that is not JSON', 400, {}, '{"sku":'],
    ['another content type', 415, { 'content-type': 'text/plain' }, body],
  ])('answers %s with %d', async (_, status, change, content) => {
    const { handler: deduct, seen, errors } = recording({ secrets: 'unsigned' })
    const reply = await send(deduct, content, { ...signed(content), ...change })
    expect(reply.status).toBe(status)
    expect(JSON.parse(reply.body)).toMatchObject({ status, detail: expect.any(String) })
    expect({ seen, errors }).toEqual({ seen: [], errors: [] })
  })

  test('answers 413 to a body beyond the limit without reading all of it', async () => {
    const { handler: deduct, seen } = recording({ bodyBytesMax: 1000 })
    const big = `"${'x'.repeat(5_000_000)}"`
    expect((await send(deduct, big, signed(big))).status).toBe(413)
    expect((await send(deduct, '"x"', signed('"x"'))).status).toBe(204)
    expect(seen).toHaveLength(1)
  })

  test('answers 405 to another method', async () => {
    const reply = await send(recording().handler, '', {}, 'GET')
    expect(reply.status).toBe(405)
    expect(reply.headers.get('allow')).toBe('POST')
  })

  test('a payload that the schema refuses is a bad request that says why', async () => {
    const { handler: deduct } = recording({
      parse() {
        throw new Error('sku: expected number')
      },
    })
    const reply = await send(deduct, body, signed(body))
    expect(reply.status).toBe(400)
    expect(JSON.parse(reply.body)).toMatchObject({
      code: 'POSTCOMMIT_DELIVERY_MISMATCH',
      detail: expect.stringContaining('sku'),
    })
  })

  test('what the handler throws is answered 500 without a word about it, and reported', async () => {
    const error = new Error('password of the database is hunter2')
    const { handler: deduct, errors } = recording({
      handle() {
        throw error
      },
    })
    const reply = await send(deduct, body, signed(body))
    expect(reply.status).toBe(500)
    expect(reply.body).not.toContain('hunter2')
    expect(errors).toEqual([error])
  })

  test('a handler refuses for good with 410 and asks for a pause with 503', async () => {
    const refusing = recording({ handle: () => Promise.reject(new DeliveryRefused('no such order')) })
    const refused = await send(refusing.handler, body, signed(body))
    expect(refused.status).toBe(410)
    expect(JSON.parse(refused.body)).toMatchObject({ detail: 'no such order' })
    const pausing = recording({ handle: () => Promise.reject(new DeliveryPostponed(1500)) })
    const paused = await send(pausing.handler, body, signed(body))
    expect(paused.status).toBe(503)
    expect(paused.headers.get('retry-after')).toBe('2')
    expect([...refusing.errors, ...pausing.errors]).toEqual([])
  })

  test('a duplicate is confirmed and says that it is one, whoever ran the inbox', async () => {
    const duplicate = { duplicate: true } as const
    const inbox: Inbox<string> = { once: () => Promise.resolve(duplicate), purge: () => Promise.resolve(0) }
    const through = handler({ secrets: [secret], inbox, handle: () => expect.unreachable() })
    const byHand = handler({ secrets: [secret], handle: (delivery) => inbox.once(delivery, () => undefined) })
    for (const deduct of [through, byHand]) {
      const reply = await send(deduct, body, signed(body))
      expect(reply.status).toBe(204)
      expect(reply.headers.get('postcommit-outcome')).toBe('duplicate')
    }
  })

  test('an id that the inbox knows with other content is a conflict, reported, and not a duplicate', async () => {
    const details = { id: 'order-1:2', consumer: 'stock' }
    const { handler: deduct, errors } = recording({
      handle: () => Promise.reject(new PostcommitError('POSTCOMMIT_INBOX_ID_REUSED', details)),
    })
    const reply = await send(deduct, body, signed(body))
    expect(reply.status).toBe(409)
    expect(reply.headers.get('postcommit-outcome')).toBeNull()
    expect(errors).toHaveLength(1)
  })
})

describe('handler.node behind a body parser', () => {
  test('takes the raw bytes that a parser left, and says what is wrong if it left something else', async () => {
    const { handler: deduct, seen, errors } = recording()
    const raw = await listen((request, response) =>
      deduct.node(Object.assign(request, { body: Buffer.from(body) }), response),
    )
    expect((await fetch(raw, { method: 'POST', headers: signed(body), body })).status).toBe(204)
    expect(seen).toHaveLength(1)
    const parsed = await listen((request, response) =>
      deduct.node(Object.assign(request, { body: JSON.parse(body) }), response),
    )
    expect((await fetch(parsed, { method: 'POST', headers: signed(body), body })).status).toBe(500)
    expect(errors).toMatchObject([
      { code: 'POSTCOMMIT_INVALID_OPTIONS', message: expect.stringContaining('body parser') },
    ])
  })
})

describe('options', () => {
  test.each([
    ['no secret', { secrets: [] }, 'POSTCOMMIT_INVALID_OPTIONS'],
    ['a secret that is none', { secrets: ['hunter2'] }, 'POSTCOMMIT_INVALID_SECRET'],
    ['no tolerance', { toleranceSeconds: 0 }, 'POSTCOMMIT_INVALID_OPTIONS'],
    ['no body', { bodyBytesMax: -1 }, 'POSTCOMMIT_INVALID_OPTIONS'],
  ])('%s is refused', (_, options, code) => {
    expect(() => recording(options)).toThrow(expect.objectContaining({ code }))
  })
})
