import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { eventually } from './eventually.ts'
import { createFaultProxy, type FaultProxy } from './fault-proxy.ts'

let proxy: FaultProxy
let serverSockets: Socket[]
const cleanUp: Array<() => unknown> = []

beforeEach(async () => {
  serverSockets = []
  const echo = createServer((socket) => {
    serverSockets.push(socket)
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  echo.listen({ port: 0, host: '127.0.0.1' })
  await once(echo, 'listening')
  proxy = await createFaultProxy({ target: { host: '127.0.0.1', port: (echo.address() as AddressInfo).port } })
  cleanUp.push(
    () => proxy.close(),
    () => echo.close(),
  )
})

afterEach(async () => {
  for (const each of cleanUp.splice(0)) await each()
})

interface Client {
  readonly socket: Socket
  readonly events: string[]
  received(): string
}

async function openClient(): Promise<Client> {
  const socket = connect(proxy.port, proxy.host)
  const events: string[] = []
  let received = ''
  socket.setEncoding('utf8')
  socket.on('data', (text: string) => {
    received += text
  })
  socket.on('error', (error) => events.push('code' in error ? String(error.code) : error.message))
  socket.on('end', () => events.push('end'))
  socket.on('close', () => events.push('close'))
  cleanUp.unshift(() => socket.destroy())
  await once(socket, 'connect')
  return { socket, events, received: () => received }
}

test('passes everything on, also in one-byte slices, and counts it', async () => {
  const client = await openClient()
  proxy.slice(1)
  const text = 'abc'.repeat(100)
  client.socket.write(text)
  await eventually(() => expect(client.received()).toBe(text))
  expect(proxy.stats()).toEqual({ connections: 1, open: 1, bytes: { up: 300, down: 300 } })
})

test('passes a large stream on under back-pressure without losing or reordering a byte', async () => {
  const client = await openClient()
  const text = Array.from({ length: 200_000 }, (_, index) => `${index};`).join('')
  client.socket.end(text)
  await eventually(() => expect(client.events).toContain('end'), { timeoutMs: 10_000 })
  expect(client.received() === text).toBe(true)
})

test('passes an end on in one direction and keeps the other open', async () => {
  const client = await openClient()
  client.socket.end('last words')
  await eventually(() => expect(client.events).toEqual(['end', 'close']))
  expect(client.received()).toBe('last words')
})

test('cutAll breaks both sides of every connection', async () => {
  const client = await openClient()
  client.socket.write('x')
  await eventually(() => expect(client.received()).toBe('x'))
  proxy.cutAll()
  await eventually(() => expect(client.events).toEqual(['ECONNRESET', 'close']))
  await eventually(() => expect(serverSockets[0]?.destroyed).toBe(true))
  expect(proxy.stats().open).toBe(0)
})

test('cutAll by FIN ends both sides in order', async () => {
  const client = await openClient()
  client.socket.write('x')
  await eventually(() => expect(client.received()).toBe('x'))
  proxy.cutAll('fin')
  await eventually(() => expect(client.events).toEqual(['end', 'close']))
})

test('cutAll also ends connections that are about to end in order', async () => {
  const client = await openClient()
  client.socket.write('x')
  await eventually(() => expect(client.received()).toBe('x'))
  proxy.cutAll('fin')
  proxy.cutAll()
  await eventually(() => expect(proxy.stats().open).toBe(0))
})

test('blackhole holds everything back in silence until it is healed', async () => {
  const client = await openClient()
  client.socket.write('before ')
  await eventually(() => expect(client.received()).toBe('before '))
  proxy.blackhole('down')
  client.socket.write('during')
  await sleep(100)
  expect(client.received()).toBe('before ')
  expect(client.events).toEqual([])
  proxy.heal()
  await eventually(() => expect(client.received()).toBe('before during'))
})

test('delay postpones and keeps the order', async () => {
  const client = await openClient()
  proxy.delay(150, 30, 'down')
  const words = Array.from({ length: 10 }, (_, index) => `${index} `)
  const start = performance.now()
  for (const word of words) {
    client.socket.write(word)
    await sleep(5)
  }
  await eventually(() => expect(client.received()).toBe(words.join('')), { everyMs: 2 })
  const tookMs = performance.now() - start
  expect(tookMs).toBeGreaterThan(119)
  // Ten delays one after the other would be 1500 ms: a slow link, not a long one.
  expect(tookMs).toBeLessThan(1000)
})

test('refuseNew refuses new connections and leaves the others alone', async () => {
  const client = await openClient()
  proxy.refuseNew()
  await expect(openClient()).rejects.toThrow('ECONNREFUSED')
  client.socket.write('still here')
  await eventually(() => expect(client.received()).toBe('still here'))
  await proxy.acceptNew()
  await openClient()
})

test('cutWhen swallows what it waited for and cuts that connection only, once', async () => {
  const cutClient = await openClient()
  const other = await openClient()
  cutClient.socket.write('COMMIT\0 of yesterday')
  await eventually(() => expect(cutClient.received()).toContain('yesterday'))
  const cut = proxy.cutWhen('down', (bytes) => bytes.includes('COMMIT\0'))
  cutClient.socket.write('today: COM')
  await eventually(() => expect(cutClient.received()).toMatch(/COM$/))
  cutClient.socket.write('MIT\0')
  await cut
  await eventually(() => expect(cutClient.events).toEqual(['ECONNRESET', 'close']))
  expect(cutClient.received()).toMatch(/COM$/)
  other.socket.write('COMMIT\0')
  await eventually(() => expect(other.received()).toBe('COMMIT\0'))
})

test('silenceWhen leaves the connection open and says nothing more', async () => {
  const client = await openClient()
  const silenced = proxy.silenceWhen('down', (bytes) => bytes.includes('ack'))
  client.socket.write('hello ')
  await eventually(() => expect(client.received()).toBe('hello '))
  client.socket.write('ack')
  await silenced
  client.socket.write('more')
  await sleep(50)
  expect(client.received()).toBe('hello ')
  expect(client.events).toEqual([])
})

test('blackhole one way: what goes the other way still arrives', async () => {
  const client = await openClient()
  client.socket.write('before')
  await eventually(() => expect(client.received()).toBe('before'))
  proxy.blackhole('up')
  client.socket.write(' lost on the way')
  serverSockets[0]?.write(' from the server')
  await eventually(() => expect(client.received()).toBe('before from the server'))
})

test('blackhole hides also that the other end has broken, until it is healed', async () => {
  const client = await openClient()
  client.socket.write('x')
  await eventually(() => expect(client.received()).toBe('x'))
  proxy.blackhole('down')
  serverSockets[0]?.resetAndDestroy()
  await sleep(100)
  expect(client.events).toEqual([])
  proxy.heal()
  await eventually(() => expect(client.events).toEqual(['ECONNRESET', 'close']))
})

test.each(['client', 'server'] as const)('halfOpen: the %s is gone, and the other end is not told', async (gone) => {
  const client = await openClient()
  client.socket.write('x')
  await eventually(() => expect(client.received()).toBe('x'))
  const server = serverSockets[0]
  proxy.halfOpen(gone)
  if (gone === 'server') {
    await eventually(() => expect(server?.destroyed).toBe(true))
    client.socket.write('into the void')
    await sleep(100)
    expect(client.events).toEqual([])
    expect(client.received()).toBe('x')
  } else {
    await eventually(() => expect(client.events).toEqual(['ECONNRESET', 'close']))
    server?.write('into the void')
    await sleep(100)
    expect(server?.destroyed).toBe(false)
  }
})

test('throttle: so many bytes a second, over all connections together', async () => {
  const [one, other] = [await openClient(), await openClient()]
  proxy.throttle(20_000, 'up')
  const start = performance.now()
  one.socket.write('a'.repeat(2000))
  other.socket.write('b'.repeat(2000))
  await eventually(() => expect(one.received().length + other.received().length).toBe(4000))
  expect(performance.now() - start).toBeGreaterThan(190)
  proxy.heal()
  one.socket.write('c'.repeat(200_000))
  await eventually(() => expect(one.received()).toHaveLength(202_000))
})

test('cutAfter passes so many bytes on and cuts the connection that has the next, once', async () => {
  const [one, other] = [await openClient(), await openClient()]
  const cut = proxy.cutAfter('up', 10)
  one.socket.write('123456')
  await eventually(() => expect(one.received()).toBe('123456'))
  other.socket.write('123456')
  await cut
  await eventually(() => expect(other.events).toEqual(['ECONNRESET', 'close']))
  expect(proxy.stats().bytes.up).toBe(10)
  one.socket.write('7')
  await eventually(() => expect(one.received()).toBe('1234567'))
})

test('a target that is not there is passed on as a broken connection', async () => {
  const nobody = await createFaultProxy({ target: { host: '127.0.0.1', port: 1 } })
  cleanUp.push(() => nobody.close())
  const socket = connect(nobody.port, nobody.host)
  await expect(once(socket, 'end')).rejects.toThrow('ECONNRESET')
})
