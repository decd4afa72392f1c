import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { afterEach, describe, expect, test } from 'vitest'
import type { Destination } from '../../../relay/destinations/destination.ts'
import type { DestinationCall } from '../../../relay/destinations/destination-call.ts'
import { createHttpDestination, type HttpDestinationOptions } from '../../../relay/destinations/http.ts'
import { readDeliveryAnswer } from '../../../relay/engine/delivery-answer.ts'
import { eventually } from '../../support/eventually.ts'
import { type Answer, type HttpService, httpService } from '../../support/http-service.ts'
import { latch } from '../../support/latch.ts'

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const NEW_SECRET = 'whsec_bmV3LXNlY3JldC1uZXctc2VjcmV0LW5ldw=='
const message: DestinationCall = {
  source: 'main',
  gid: '018f-gid',
  mode: 'msg',
  branch: '2',
  number: 2,
  op: 'action',
  dialect: 'v1',
  target: '/deduct?dry=1',
  key: 'Zürich 1',
  content: '{"sku":"x","n":1.0}',
  headers: { tenant: 'acme' },
  attempt: 3,
  timeoutMs: undefined,
  reads: 'status',
}

const services: HttpService[] = []
const listeners: Server[] = []
const destinations: Destination[] = []
afterEach(async () => {
  await Promise.all(destinations.splice(0).map((opened) => opened.close()))
  await Promise.all(services.splice(0).map((started) => started.kill()))
  for (const listener of listeners.splice(0)) listener.close()
})

/** A service below HTTP; resolves to its URL. */
async function socketService(connected: (socket: Socket) => unknown): Promise<string> {
  const listener = createServer((socket) => {
    socket.on('error', () => undefined)
    connected(socket)
  })
  listeners.push(listener)
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  return `http://127.0.0.1:${(listener.address() as AddressInfo).port}`
}

async function service(answer?: Answer): Promise<HttpService> {
  const started = await httpService(answer)
  services.push(started)
  return started
}

function destination(url: string, options: Partial<HttpDestinationOptions> = {}): Destination {
  const opened = createHttpDestination('stock', { url, timeoutMs: 1000, ...options })
  destinations.push(opened)
  return opened
}

/** What a call means for the message. */
async function call(to: Destination, what: Partial<DestinationCall> = {}, signal = new AbortController().signal) {
  const sent = { ...message, ...what }
  const { permanentAttemptsMax } = to
  return readDeliveryAnswer(await to.call(sent, signal), { attempts: sent.attempt - 1, permanentAttemptsMax })
}

async function timed<T>(work: Promise<T>): Promise<{ value: T; ms: number }> {
  const begun = performance.now()
  return { value: await work, ms: performance.now() - begun }
}

describe('the call', () => {
  test('carries the exact content, the envelope, the headers of the message, and the attempt', async () => {
    const stock = await service()
    expect(await call(destination(`${stock.url}/hooks/`))).toEqual({ kind: 'confirmed', status: 204 })
    expect(stock.calls).toHaveLength(1)
    const [{ method, path, body, headers } = {} as never] = stock.calls
    expect([method, path, String(body)]).toEqual(['POST', '/hooks/deduct?dry=1', '{"sku":"x","n":1.0}'])
    expect(headers).toMatchObject({
      host: `127.0.0.1:${stock.port}`,
      'content-type': 'application/json',
      'content-length': '19',
      'postcommit-gid': '018f-gid',
      'postcommit-branch': '2',
      'postcommit-key': 'Z%C3%BCrich%201',
      'postcommit-attempt': '3',
      'webhook-id': '018f-gid:2',
      tenant: 'acme',
    })
    expect(headers['webhook-signature']).toBeUndefined()
  })

  test('carries bytes as they are', async () => {
    const stock = await service()
    await call(destination(stock.url), { content: new Uint8Array([0, 255, 10]), key: undefined })
    expect(stock.calls[0]?.body).toEqual(Buffer.from([0, 255, 10]))
    expect(stock.calls[0]?.headers['content-type']).toBe('application/octet-stream')
    expect(stock.calls[0]?.headers['postcommit-key']).toBeUndefined()
  })

  test('is signed so that any receiver of Standard Webhooks accepts it, by the old secret and by the new', async () => {
    const stock = await service()
    await call(destination(stock.url, { secrets: [SECRET, NEW_SECRET] }))
    const [{ body, headers } = {} as never] = stock.calls
    for (const secret of [SECRET, NEW_SECRET]) {
      expect(new Webhook(secret).verify(body, headers as Record<string, string>)).toEqual({ sku: 'x', n: 1 })
    }
    expect(() => new Webhook(SECRET).verify('{"sku":"y"}', headers as Record<string, string>)).toThrow()
  })

  test('the connection is kept, also after answers with a body', async () => {
    const ports = new Set<number | undefined>()
    const stock = await service((_, response) => {
      ports.add(response.socket?.remotePort)
      response.writeHead(200).end('x'.repeat(50_000))
      return undefined
    })
    const to = destination(stock.url)
    for (let n = 0; n < 20; n += 1) expect(await call(to)).toMatchObject({ kind: 'confirmed' })
    // The second is opened while the first is still being put back.
    expect(ports.size).toBeLessThanOrEqual(2)
  })

  test.each(['//evil.example/x', '/../admin', '/%2e%2e/admin', 'deduct', '/a b', '/a\\b', '/a#b', '/a\r\nhost: x', ''])(
    'a path that leaves the destination is refused for good and nobody is called: %j',
    async (target) => {
      const stock = await service()
      expect(await call(destination(`${stock.url}/hooks`), { target })).toMatchObject({ kind: 'refused' })
      expect(stock.calls).toEqual([])
    },
  )
})

describe('the answer', () => {
  test.each([
    [200, 'confirmed'],
    [410, 'refused'],
    [500, 'failed'],
    [503, 'unavailable'],
    [425, 'unavailable'],
  ])('%i is %s', async (status, kind) => {
    const stock = await service(() => status)
    expect(await call(destination(stock.url))).toMatchObject({ kind, status })
  })

  test('a 429 says how long to wait', async () => {
    const stock = await service((_, response) => {
      response.writeHead(429, { 'retry-after': '7' }).end()
      return undefined
    })
    expect(await call(destination(stock.url))).toEqual({
      kind: 'unavailable',
      error: 'answered 429',
      status: 429,
      retryAfterMs: 7000,
    })
  })

  test('a 409 of a receiver that had the message before confirms', async () => {
    const stock = await service((_, response) => {
      response.writeHead(409, { 'postcommit-outcome': 'duplicate' }).end()
      return undefined
    })
    expect(await call(destination(stock.url))).toEqual({ kind: 'confirmed', status: 409 })
  })

  test('a redirect is not followed', async () => {
    const inner = await service()
    const stock = await service((_, response) => {
      response.writeHead(302, { location: `${inner.url}/secret` }).end()
      return undefined
    })
    expect(await call(destination(stock.url))).toMatchObject({ kind: 'failed', status: 302 })
    expect(inner.calls).toEqual([])
  })

  test('the eighth 4xx is the last', async () => {
    const stock = await service(() => 404)
    expect(await call(destination(stock.url), { attempt: 7 })).toMatchObject({ kind: 'failed', ofMessage: true })
    expect(await call(destination(stock.url), { attempt: 8 })).toMatchObject({ kind: 'refused', status: 404 })
    const patient = destination(stock.url, { permanentAttemptsMax: 100 })
    expect(await call(patient, { attempt: 8 })).toMatchObject({ kind: 'failed' })
  })

  test('nothing of what the other side writes gets into the error', async () => {
    const stock = await service((_, response) => {
      response.writeHead(500, 'secret reason').end('secret body')
      return undefined
    })
    expect(JSON.stringify(await call(destination(stock.url)))).not.toContain('secret')
  })
})

describe('a destination that does not behave', () => {
  test('never answers: given up after the timeout', async () => {
    const stock = await service(() => undefined)
    const { value, ms } = await timed(call(destination(stock.url, { timeoutMs: 300 })))
    expect(value).toEqual({ kind: 'failed', error: 'no answer within 300 ms' })
    expect(ms).toBeGreaterThan(290)
  })

  test('drips: the timeout is for the whole call', async () => {
    const stock = await service((_, response) => {
      response.writeHead(200)
      const drip = setInterval(() => response.write('x'), 50)
      response.on('close', () => clearInterval(drip))
      return undefined
    })
    // It never stops dripping: only the limit can end this.
    expect(await call(destination(stock.url, { timeoutMs: 400 }))).toMatchObject({ kind: 'failed' })
  })

  test('drips its headers: the same', async () => {
    const url = await socketService((socket) => {
      socket.write('HTTP/1.1 200 OK\r\n')
      const drip = setInterval(() => socket.write('x-a: b\r\n'), 50)
      socket.on('close', () => clearInterval(drip))
    })
    expect(await call(destination(url, { timeoutMs: 400 }))).toMatchObject({ kind: 'failed' })
  })

  test('answers without an end: its word counts, its body is not read', async () => {
    let sent = 0
    const { opened: closed, open } = latch()
    const stock = await service((_, response) => {
      response.on('close', open)
      response.writeHead(200)
      const pour = () => {
        while (!response.destroyed && response.write('x'.repeat(16_384))) sent += 16_384
      }
      response.on('drain', pour)
      pour()
      return undefined
    })
    expect(await call(destination(stock.url))).toEqual({ kind: 'confirmed', status: 200 })
    await closed
    expect(sent).toBeLessThan(20_000_000)
  })

  test('does not speak HTTP', async () => {
    const url = await socketService((socket) => socket.end('220 smtp.example ready\r\n'))
    expect(await call(destination(url))).toMatchObject({ kind: 'failed' })
  })

  test('is not there: nothing was learned about the message', async () => {
    const stock = await service()
    await stock.kill()
    expect(await call(destination(stock.url))).toEqual({ kind: 'unavailable', error: 'no answer: ECONNREFUSED' })
    expect(await call(destination('http://no-such-host.invalid'))).toMatchObject({ kind: 'unavailable' })
  })

  test('dies with the call in its hands: it may have been taken', async () => {
    const stock = await service((_, response) => {
      response.destroy()
      return undefined
    })
    expect(await call(destination(stock.url))).toMatchObject({ kind: 'failed' })
  })

  test('comes back after having been killed', async () => {
    const stock = await service()
    const to = destination(stock.url)
    expect(await call(to)).toMatchObject({ kind: 'confirmed' })
    await stock.kill()
    expect((await call(to)).kind).not.toBe('confirmed')
    await stock.restart()
    expect(await call(to)).toMatchObject({ kind: 'confirmed' })
  })
})

describe('stopping', () => {
  test('a call that is cut off ends at once', async () => {
    const stock = await service(() => undefined)
    const stop = new AbortController()
    // Its own limit would end it after this test has failed.
    const work = call(destination(stock.url, { timeoutMs: 120_000 }), {}, stop.signal)
    await eventually(() => expect(stock.calls).toHaveLength(1))
    stop.abort()
    expect(await work).toMatchObject({ kind: 'failed' })
  })
})

describe('options', () => {
  test.each([
    [{ url: 'ftp://stock' }, /neither http nor https/],
    [{ url: 'stock' }, /not a URL/],
    [{ url: 'http://a:b@stock' }, /user name or password/],
    [{ url: 'http://stock/?a=b' }, /query/],
  ])('%j is refused', (options, reason) => {
    expect(() => createHttpDestination('stock', options)).toThrow(reason)
    expect(() => createHttpDestination('stock', options)).toThrow(
      expect.objectContaining({ code: 'POSTCOMMIT_INVALID_OPTIONS' }),
    )
  })

  test('a secret that is none is refused without being told', () => {
    const open = () => createHttpDestination('stock', { url: 'http://stock', secrets: ['hunter2'] })
    expect(open).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_SECRET' }))
    expect(open).not.toThrow(/hunter2/)
  })
})
