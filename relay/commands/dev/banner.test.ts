import { expect, test } from 'vitest'
import { RelayConfig } from '../../config/schema.ts'
import { devBanner } from './banner.ts'

const config = RelayConfig.parse({
  destinations: { mail: { url: 'http://127.0.0.1:3001' }, stock: { url: 'http://127.0.0.1:3000' } },
  nats: { streams: [{ name: 'ORDERS', subjects: ['order.>'] }] },
})
const servers = {
  databaseUrl: 'postgres://dev:random@127.0.0.1:5000/app',
  ownDatabase: true,
  databaseName: '18.4, embedded',
  nats: { kind: 'started', url: 'nats://127.0.0.1:4222', version: '2.9.10' },
  natsUrl: 'nats://127.0.0.1:4222',
  stop: async () => undefined,
} as const
const facts = {
  healthUrl: 'http://127.0.0.1:4780',
  apiUrl: 'http://127.0.0.1:8484',
  apiKey: 'pc_id_secret',
  dtmUrl: 'http://127.0.0.1:36789/api/dtmsvr',
}
const ready = { config, servers, facts, migrations: [], cwd: '/shop', readyMs: 1440 }

test('says where everything is, aligned', () => {
  const [title, ...lines] = devBanner(ready)
  expect(title).toMatch(/^postcommit .*, development\. Ready in 1\.4 s\.$/)
  expect(lines).toEqual([
    '  PostgreSQL  18.4, embedded',
    '              DATABASE_URL=postgres://dev:random@127.0.0.1:5000/app',
    '  NATS        nats-server 2.9.10',
    '              NATS_URL=nats://127.0.0.1:4222',
    '  Streams     ORDERS takes order.>',
    '              POSTCOMMIT_DEV takes what no other stream takes',
    '  Schema      up to date',
    '  Calls       mail  http://127.0.0.1:3001',
    '              stock  http://127.0.0.1:3000',
    '  Relay       http://127.0.0.1:4780/readyz  http://127.0.0.1:4780/metrics',
    '  API         RELAY_URL=http://127.0.0.1:8484',
    '              RELAY_API_KEY=pc_id_secret',
    '  DTM         http://127.0.0.1:36789/api/dtmsvr',
    '  Data        /shop/.postcommit, kept between runs',
    'What becomes of messages follows. Ctrl-C stops everything.',
  ])
})

test('without nats-server it says in one line what is missing and how to get it', () => {
  const nats = { kind: 'missing', install: 'apt-get install -y nats-server' } as const
  const lines = devBanner({ ...ready, servers: { ...servers, nats, natsUrl: undefined } })
  expect(lines).toContain(
    '  NATS        not found: messages for NATS are held until it is there. To install it: apt-get install -y nats-server',
  )
  expect(lines.join('\n')).not.toContain('NATS_URL')
})

test('shows no password of a server that is not its own', () => {
  const lines = devBanner({ ...ready, servers: { ...servers, ownDatabase: false, databaseName: 'configured' } })
  expect(lines.join('\n')).not.toContain('random')
})
