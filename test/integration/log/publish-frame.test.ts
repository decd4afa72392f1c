import { setTimeout as sleep } from 'node:timers/promises'
import { headers, type Msg, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { openPublishFrame } from '../../../relay/broker/publish-frame.ts'
import { nats, type TestNats } from '../../support/nats.ts'

let broker: TestNats

beforeAll(async () => {
  broker = await nats()
})
afterAll(() => broker.close())

const CONTENTS: readonly (string | Uint8Array)[] = [
  '',
  '{"n":1}',
  'é, 漢字 and 🎉',
  'x'.repeat(8000),
  '漢'.repeat(20_000),
  new Uint8Array([0, 255, 13, 10, 128]),
]

function headOf(note: string): string {
  const result = headers()
  result.set('Nats-Msg-Id', 'gid:1')
  result.set('note', note)
  return result.toString()
}

/** The same connection as something that is only called one. */
function disguised(nc: NatsConnection): NatsConnection {
  return { ...nc, publish: nc.publish.bind(nc) } as NatsConnection
}

async function received(publish: (nc: NatsConnection, subject: string) => void, subject: string, count: number) {
  const [from, to] = [await broker.connect(), await broker.connect()]
  const messages: Msg[] = []
  to.subscribe(subject, { callback: (_, message) => void messages.push(message) })
  await to.flush()
  publish(from, subject)
  await from.flush()
  await to.flush()
  for (let turn = 0; messages.length < count && turn < 100; turn += 1) await sleep(10)
  return messages.map(({ reply, data, headers: head }) => ({
    reply,
    content: Buffer.from(data).toString('base64'),
    id: head?.get('Nats-Msg-Id'),
    note: head?.get('note'),
  }))
}

function publishAll(nc: NatsConnection, through: NatsConnection, subject: string): void {
  const publish = openPublishFrame(through)
  for (const [at, content] of CONTENTS.entries()) {
    for (const note of ['plain', 'ünï 漢']) publish(subject, `answers.${at}`, headOf(note), content)
  }
  expect(nc.stats().outMsgs).toBe(2 * CONTENTS.length)
}

describe('openPublishFrame', () => {
  test('what arrives is what was published, whichever way it goes', async () => {
    const count = 2 * CONTENTS.length
    const quick = await received((nc, subject) => publishAll(nc, nc, subject), 'frame.quick', count)
    const slow = await received((nc, subject) => publishAll(nc, disguised(nc), subject), 'frame.slow', count)
    const expected = CONTENTS.flatMap((content, at) =>
      ['plain', 'ünï 漢'].map((note) => ({
        reply: `answers.${at}`,
        content: Buffer.from(content).toString('base64'),
        id: 'gid:1',
        note,
      })),
    )
    expect(quick).toEqual(expected)
    expect(slow).toEqual(expected)
  })

  test('text goes as one piece of bytes, past the publish of the client; bytes and other connections do not', async () => {
    const nc = await broker.connect()
    const published = vi.spyOn(nc, 'publish')
    const publish = openPublishFrame(nc)
    publish('frame.way', 'answers', headOf('text'), '{"n":1}')
    expect(published).not.toHaveBeenCalled()
    expect(nc.stats().outMsgs).toBe(1)
    publish('frame.way', 'answers', headOf('bytes'), new Uint8Array([1]))
    expect(published).toHaveBeenCalledTimes(1)
    openPublishFrame(disguised(nc))('frame.way', 'answers', headOf('text'), '{"n":1}')
    expect(published).toHaveBeenCalledTimes(2)
    await nc.flush()
  })

  test('bytes that are waiting to be sent are not written over by those that follow', async () => {
    const contents = Array.from({ length: 5000 }, (_, n) => `${n}:`.padEnd(200, '.'))
    const seen = await received(
      (nc, subject) => {
        const publish = openPublishFrame(nc)
        for (const content of contents) publish(subject, 'answers', headOf('many'), content)
      },
      'frame.many',
      contents.length,
    )
    expect(seen.map(({ content }) => Buffer.from(content, 'base64').toString())).toEqual(contents)
  })

  test.each([
    ['a space', 'frame. refused'],
    ['a line break', 'frame.refused\r\nPUB frame.injected 0\r\n'],
    ['nothing', ''],
  ])('a subject with %s is refused, and nothing is sent', async (_, subject) => {
    const nc = await broker.connect()
    const before = nc.stats().outMsgs
    expect(() => openPublishFrame(nc)(subject, 'answers', headOf('no'), '{}')).toThrow(/subject/)
    expect(nc.stats().outMsgs).toBe(before)
  })

  test('more than the server takes is refused', async () => {
    const nc = await broker.connect()
    const content = 'x'.repeat(nc.info?.max_payload ?? 0)
    expect(() => openPublishFrame(nc)('frame.large', 'answers', headOf('no'), content)).toThrow(/max_payload/)
  })

  test('a connection that is closing or closed takes nothing', async () => {
    const nc = await broker.connect()
    const publish = openPublishFrame(nc)
    const drained = nc.drain()
    await drained
    expect(() => publish('frame.closed', 'answers', headOf('no'), '{}')).toThrow(/closed|draining/)
  })
})
