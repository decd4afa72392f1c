import { describe, expect, test } from 'vitest'
import { RelayConfig } from '../../config/schema.ts'
import { natsConnection, relayOptions } from './relay-options.ts'

const connectionTo = (nats: object) => natsConnection(RelayConfig.parse({ nats }).nats, '/etc/shop')

describe('natsConnection', () => {
  test.each([
    ['a plain address', { servers: ['a:4222', 'nats://b'] }, { servers: ['a:4222', 'b'] }],
    ['user and password', { servers: ['a'], user: 'u', password: 'p' }, { servers: ['a'], user: 'u', pass: 'p' }],
    ['a token', { servers: ['a'], token: 't' }, { servers: ['a'], token: 't' }],
    // The client drops what an address says of the user, and would connect as nobody.
    [
      'user and password in the address',
      { servers: ['nats://u:p%40@a:4222'] },
      { servers: ['a:4222'], user: 'u', pass: 'p@' },
    ],
    ['a token in the address', { servers: ['nats://t@a:4222'] }, { servers: ['a:4222'], token: 't' }],
    ['TLS by the address', { servers: ['tls://a:4222'] }, { servers: ['a:4222'], tls: {} }],
    ['TLS by a file', { servers: ['a'], tlsCaFile: 'ca.pem' }, { servers: ['a'], tls: { caFile: '/etc/shop/ca.pem' } }],
    ['IPv6', { servers: ['nats://[::1]:4222'] }, { servers: ['[::1]:4222'] }],
  ])('%s', (_, nats, options) => {
    expect(connectionTo(nats)).toEqual(options)
  })

  test('a creds file that is not there is a problem of the configuration', () => {
    expect(() => connectionTo({ servers: ['a'], credsFile: 'nowhere.creds' })).toThrow(
      /nats\.credsFile: ENOENT.*\/etc\/shop\/nowhere\.creds/,
    )
  })
})

describe('relayOptions', () => {
  test('without servers there is no broker', () => {
    expect(relayOptions(RelayConfig.parse({}), '/')).not.toHaveProperty('nats')
  })

  test('without a database nothing is coordinated, and without a rule no address is called', () => {
    expect(relayOptions(RelayConfig.parse({ coordinator: { allowUrls: ['10.0.0.0/8'] } }), '/')).not.toHaveProperty(
      'coordinator',
    )
    expect(relayOptions(RelayConfig.parse({ coordinator: { database: 'main' } }), '/').coordinator).toEqual({
      database: 'main',
      checks: {},
      checkSubjects: [],
      checkAfterMs: 10_000,
      deadlineMs: 35_000,
    })
    const urls = { database: 'main', allowUrls: ['10.0.0.0/8'], alertUrl: 'http://alerts' }
    expect(relayOptions(RelayConfig.parse({ coordinator: urls }), '/').coordinator).toMatchObject({
      urls: { allow: ['10.0.0.0/8'], ports: ['80', '443'] },
      alerts: { url: 'http://alerts', everyAttempts: 3 },
    })
  })

  test('destinations keep every setting', () => {
    const config = RelayConfig.parse({
      destinations: {
        stock: { url: 'http://stock', timeoutMs: 500, attemptsMax: 3, backOffBaseMs: 10, backOffCapMs: 20 },
      },
    })
    expect(relayOptions(config, '/').destinations).toEqual({
      stock: {
        url: 'http://stock',
        secrets: [],
        timeoutMs: 500,
        concurrency: 32,
        attemptsMax: 3,
        permanentAttemptsMax: 8,
        backOff: { baseMs: 10, capMs: 20 },
      },
    })
  })
})
