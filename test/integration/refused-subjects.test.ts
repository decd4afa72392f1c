import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type JetStreamManager, jetstreamManager, type StreamConfig } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { createRelay, type Relay } from '@postcommit/relay'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type NatsServer, startNats } from '../../relay/dev/nats.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

const HEALTHY_KEYS = ['a', 'b', 'c', 'd', 'e']
const ROUNDS = 4
const TIMES = { timeoutMs: 20_000 }

let folder: string
let server: NatsServer
let admin: NatsConnection
let manager: JetStreamManager
let db: TestDatabase
let relay: Relay | undefined
let lines: string[]

/** `denied` is what the user of the relay may not publish to. */
const configOf = (denied: string) => `
authorization {
  users: [
    { user: admin, password: admin }
    { user: relay, password: relay, permissions: { publish: { deny: ["${denied}"] } } }
  ]
}`

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'refused-'))
  server = await startNats({ storeDir: join(folder, 'js'), config: configOf('denied.>') })
  admin = await connect({ servers: server.url, user: 'admin', pass: 'admin', maxReconnectAttempts: -1 })
  manager = await jetstreamManager(admin)
})
afterAll(async () => {
  await admin.close()
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(async () => {
  db = await database()
  lines = []
})
afterEach(async () => {
  await relay?.stop()
  relay = undefined
  for await (const { config } of manager.streams.list()) await manager.streams.delete(config.name)
  await db.drop()
})

const commit = (subject: string, content: unknown, key?: string) =>
  createOutbox({ db: db.pool }).commit((_, message) => void message.publish(subject, content, key ? { key } : {}))

async function start(): Promise<Relay> {
  relay = createRelay({
    db: db.url,
    nats: { connection: { servers: server.url, user: 'relay', pass: 'relay' } },
    log: pino({ level: 'info' }, { write: (line) => void lines.push(line) }),
    drainMs: 1000,
  })
  await relay.start()
  return relay
}

const addStream = (name: string, config: Partial<StreamConfig> = {}) =>
  manager.streams.add({ name, subjects: [`${name}.>`], duplicate_window: 600e9, ...config })

/** What a stream holds, oldest first. */
async function stored(name: string): Promise<{ subject: string; data: string }[]> {
  const { state } = await manager.streams.info(name)
  const messages = []
  for (let seq = state.first_seq; seq > 0 && seq <= state.last_seq; seq += 1) {
    const message = await manager.streams.getMessage(name, { seq })
    if (message !== null) messages.push({ subject: message.subject, data: message.string() })
  }
  return messages
}

const healthyName = 'healthy'

interface Condition {
  /** The subject that is refused. */
  readonly subject: string
  /** What the stream holds before. */
  readonly before?: readonly string[]
  begin(): Promise<() => Promise<void>>
}

const CONDITIONS: Record<string, Condition> = {
  'a full stream that discards what is new': {
    subject: 'full.a',
    before: ['0'],
    async begin() {
      await addStream('full', { discard: 'new', max_msgs: 1 } as Partial<StreamConfig>)
      await admin.request('full.a', '0')
      return async () => void (await manager.streams.update('full', { max_msgs: -1 }))
    },
  },
  'a full subject': {
    subject: 'fullsubject.a',
    before: ['0'],
    async begin() {
      const limits = { discard: 'new', discard_new_per_subject: true, max_msgs_per_subject: 1 }
      await addStream('fullsubject', limits as Partial<StreamConfig>)
      await admin.request('fullsubject.a', '0')
      return async () => void (await manager.streams.update('fullsubject', { max_msgs_per_subject: 100 }))
    },
  },
  'a subject that the user of the relay may not publish to': {
    subject: 'denied.a',
    async begin() {
      await addStream('denied')
      return async () => {
        writeFileSync(`${server.storeDir}.conf`, configOf('nothing.>'))
        process.kill(server.pid, 'SIGHUP')
      }
    },
  },
  'a subject that a plain service answers': {
    subject: 'plain.a',
    async begin() {
      const service = admin.subscribe('plain.>', { callback: (_, message) => void message.respond('{"ok":true}') })
      return async () => {
        service.unsubscribe()
        await addStream('plain')
      }
    },
  },
  'a subject that no stream takes, while something listens to everything': {
    subject: 'watched.a',
    async begin() {
      const watcher = admin.subscribe('>', { callback: () => undefined })
      return async () => {
        await addStream('watched')
        setTimeout(() => watcher.unsubscribe(), 3000)
      }
    },
  },
  'a sealed stream': {
    subject: 'sealed.a',
    async begin() {
      await addStream('sealed')
      await manager.streams.update('sealed', { sealed: true } as Partial<StreamConfig>)
      return async () => {
        await manager.streams.delete('sealed')
        await addStream('sealed')
      }
    },
  },
  'a stream that is missing': {
    subject: 'missing.a',
    async begin() {
      return async () => void (await addStream('missing'))
    },
  },
}

describe('what is refused for its subject or stream', () => {
  test.each(Object.entries(CONDITIONS))(
    '%s holds back itself alone',
    async (_, { subject, before = [], begin }) => {
      await addStream(healthyName)
      const end = await begin()
      await start()
      for (const n of [1, 2]) await commit(subject, n, 'k')
      await commit(`${healthyName}.k`, 'behind', 'k')
      for (let round = 0; round < ROUNDS; round += 1) {
        for (const key of HEALTHY_KEYS) await commit(`${healthyName}.${key}`, round, key)
        await commit(subject, `free ${round}`)
      }
      const healthy = async () =>
        (await stored(healthyName)).filter((message) => message.subject !== `${healthyName}.k`)
      await eventually(async () => {
        for (const key of HEALTHY_KEYS) {
          const ofKey = (await healthy()).filter((message) => message.subject === `${healthyName}.${key}`)
          expect(ofKey.map(({ data }) => data)).toEqual(Array.from({ length: ROUNDS }, (_, round) => String(round)))
        }
      }, TIMES)
      expect(
        (await stored(healthyName)).some(({ data }) => data === '"behind"'),
        'what is behind it waits',
      ).toBe(false)
      await end()
      const name = subject.split('.')[0] ?? ''
      await eventually(
        async () => {
          const arrived = (await stored(name)).map(({ data }) => data)
          expect(arrived.filter((data) => !data.startsWith('"free'))).toEqual([...before, '1', '2'])
          expect(arrived.filter((data) => data.startsWith('"free'))).toHaveLength(ROUNDS)
          expect((await stored(healthyName)).filter(({ data }) => data === '"behind"')).toHaveLength(1)
        },
        { timeoutMs: 60_000, everyMs: 100 },
      )
    },
    120_000,
  )
})
