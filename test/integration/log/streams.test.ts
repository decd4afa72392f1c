import { createRelay } from '@postcommit/relay'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ensureStreams } from '../../../relay/broker/streams.ts'
import { database } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { nats, type TestNats } from '../../support/nats.ts'

const HORIZON_MS = 22_000
let broker: TestNats

beforeAll(async () => {
  broker = await nats()
})
afterAll(() => broker.close())

const refusal = (code: string) => expect.objectContaining({ code })

describe('ensureStreams', () => {
  test('a stream that is not there is created only if that is configured', async () => {
    const { manager } = await broker.freshStream('ensure')
    const options = { name: 'ENSURED', subjects: ['ensured.>'] }
    const ensure = (create: boolean) => ensureStreams(broker.connection, [{ ...options, create }], HORIZON_MS)
    await expect(ensure(false)).rejects.toThrow(refusal('POSTCOMMIT_STREAM_MISSING'))
    await ensure(true)
    const { config } = await manager.streams.info('ENSURED')
    expect(config).toMatchObject({ subjects: ['ensured.>'], storage: 'file', duplicate_window: 600e9 })
    await ensure(true)
    await manager.streams.delete('ENSURED')
  })

  test.each([
    [
      'a duplicate window shorter than what may be published again',
      { duplicate_window: 5e9 },
      'duplicate window is 5000 ms',
    ],
    ['no acknowledgements', { no_ack: true }, 'no_ack'],
    ['other subjects', {}, 'does not take elsewhere.>'],
  ])('a stream with %s is refused', async (_, config, reason) => {
    const { name, subjects, manager } = await broker.freshStream('refused', config)
    const wanted = Object.keys(config).length === 0 ? ['elsewhere.>'] : [...subjects]
    const ensured = ensureStreams(broker.connection, [{ name, subjects: wanted }], HORIZON_MS)
    await expect(ensured).rejects.toThrow(reason)
    await manager.streams.delete(name)
  })

  test('a relay publishes nothing before its streams are safe, and says why', async () => {
    await using db = await database()
    const { name, prefix, subjects, manager } = await broker.freshStream('unsafe', { duplicate_window: 5e9 })
    const relay = createRelay({
      db: db.url,
      nats: { connection: { servers: broker.url }, streams: [{ name, subjects }] },
      log: pino({ level: 'silent' }),
    })
    await relay.start()
    await createOutbox({ db: db.pool }).commit((_, message) => void message.publish(`${prefix}.a`, 1))
    await eventually(() => expect(relay.health().nats.problem).toContain('POSTCOMMIT_STREAM_UNSUITABLE'))
    expect((await manager.streams.info(name)).state.messages).toBe(0)
    await manager.streams.update(name, { duplicate_window: 600e9 })
    await eventually(async () => expect((await manager.streams.info(name)).state.messages).toBe(1), {
      timeoutMs: 10_000,
    })
    expect(relay.health().nats.problem).toBeUndefined()
    await relay.stop()
  })
})
