import { describe, expect, test } from 'vitest'
import { maskConfig, maskUrl } from './mask.ts'
import { CONFIG_OPTIONS } from './options.ts'
import { RelayConfig } from './schema.ts'

describe('maskConfig', () => {
  test('shows every value and no secret', () => {
    const config = RelayConfig.parse({
      databases: { main: { url: 'postgres://relay:hunter2@db/shop?sslmode=verify-full' } },
      nats: { servers: ['nats://u:hunter2@a:4222', 'b:4222'], token: 'hunter2-hunter2' },
      destinations: {
        stock: { url: 'http://stock/', secrets: [`whsec_${Buffer.alloc(24, 'hunter2').toString('base64')}`] },
      },
      http: { token: 'hunter2hunter2hunter2' },
    })
    const shown = Object.fromEntries(maskConfig(config).map(({ name, value }) => [name, value]))
    expect(JSON.stringify(shown)).not.toMatch(/hunter2|aHVudGVy/)
    expect(shown).toMatchObject({
      'databases.main.url': 'postgres://relay:***@db/shop?sslmode=verify-full',
      'nats.servers[0]': 'nats://u:***@a:4222',
      'nats.servers[1]': 'b:4222',
      'nats.token': '***',
      'destinations.stock.url': 'http://stock/',
      'destinations.stock.secrets[0]': '***',
      'http.token': '***',
      'http.port': 4780,
      'log.level': 'info',
    })
  })

  test.each([
    ['postgres://u:p@h/d', 'postgres://u:***@h/d'],
    ['postgres://h/d?user=u&password=p', 'postgres://h/d?user=u&password=***'],
    ['nats://t0ken@h:4222', 'nats://***@h:4222'],
    ['not a url', '***'],
  ])('%s', (url, masked) => {
    expect(maskUrl(url)).toBe(masked)
  })
})

describe('names', () => {
  test('follow from the path by rule', () => {
    const option = CONFIG_OPTIONS.find(({ path }) => path.join('.') === 'nats.credsFile')
    expect(option).toMatchObject({ flag: '--nats-creds-file', env: 'POSTCOMMIT_NATS_CREDS_FILE', kind: 'string' })
  })

  test('leave out flags for secrets, which other users of the host could read', () => {
    const without = CONFIG_OPTIONS.filter(({ flag }) => flag === undefined).map(({ path }) => path.join('.'))
    expect(without).toEqual(['nats.password', 'nats.token', 'http.token'])
  })

  test('are unique, and every option is described', () => {
    const flags = CONFIG_OPTIONS.flatMap(({ flag }) => flag ?? [])
    expect(new Set(flags).size).toBe(flags.length)
    expect(new Set(CONFIG_OPTIONS.map(({ env }) => env)).size).toBe(CONFIG_OPTIONS.length)
    expect(CONFIG_OPTIONS.filter(({ description }) => description === '')).toEqual([])
  })
})
