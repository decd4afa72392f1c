import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PostcommitError } from 'postcommit/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ConfigInputs, loadConfig } from './load.ts'

let cwd: string
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'postcommit-config-'))
})
afterEach(() => {
  rmSync(cwd, { recursive: true })
})

const LOCAL = 'postgres://relay:pw@127.0.0.1/shop'

function load(file: unknown, rest: Partial<ConfigInputs> = {}) {
  if (file !== undefined) writeFileSync(join(cwd, 'postcommit.json'), JSON.stringify(file))
  return loadConfig({ cwd, env: {}, flags: {}, ...rest })
}

function problemsOf(file: unknown, rest: Partial<ConfigInputs> = {}): string {
  try {
    load(file, rest)
  } catch (error) {
    if (error instanceof PostcommitError && error.code === 'POSTCOMMIT_INVALID_CONFIG') return error.message
    throw error
  }
  throw new Error('the configuration is valid')
}

describe('precedence', () => {
  const file = { leaseMs: 15_000, nats: { servers: ['file:4222'] } }
  const env = { POSTCOMMIT_LEASE_MS: '20000', POSTCOMMIT_NATS_SERVERS: 'env-a:4222, env-b:4222' }
  const flags = { '--lease-ms': '40000' }

  test('is flag over environment over file over default, option by option', () => {
    expect(load(undefined).config.leaseMs).toBe(10_000)
    expect(load(file).config.leaseMs).toBe(15_000)
    expect(load(file, { env }).config.leaseMs).toBe(20_000)
    const { config, sourceOf } = load(file, { env, flags })
    expect(config.leaseMs).toBe(40_000)
    expect(config.nats.servers).toEqual(['env-a:4222', 'env-b:4222'])
    expect(sourceOf(['leaseMs'])).toBe('--lease-ms')
    expect(sourceOf(['nats', 'servers', 0])).toBe('POSTCOMMIT_NATS_SERVERS')
    expect(sourceOf(['claimLeaseMs'])).toBe('default')
  })

  test('keeps what stands beside an overridden value in the file', () => {
    const { config, sourceOf } = load({ http: { port: 1, host: '::1' } }, { env: { POSTCOMMIT_HTTP_PORT: '0' } })
    expect(config.http).toMatchObject({ port: 0, host: '::1' })
    expect(sourceOf(['http', 'host'])).toBe('postcommit.json')
  })

  test('takes an empty variable for an unset one', () => {
    expect(load(file, { env: { POSTCOMMIT_LEASE_MS: '' } }).config.leaseMs).toBe(15_000)
  })

  test('what a command ignores in the file is not looked at', () => {
    const ignored = [['databases'], ['nats', 'token']]
    const { config } = load({ databases: 7, nats: { token: '${NOWHERE}', user: 'u', password: 'p' } }, { ignored })
    expect(config).toMatchObject({ databases: {}, nats: { user: 'u' } })
  })

  test('what a command decides stands above everything', () => {
    const decided = [{ path: ['leaseMs'], value: 5000, source: 'postcommit dev' }]
    expect(load(file, { flags, decided }).config.leaseMs).toBe(5000)
  })
})

describe('databases', () => {
  test('one shorthand names the database main', () => {
    expect(load(undefined, { env: { DATABASE_URL: LOCAL } }).config.databases).toEqual({ main: { url: LOCAL } })
    const { config, sourceOf } = load(undefined, { flags: { '--database-url': LOCAL } })
    expect(config.databases).toEqual({ main: { url: LOCAL } })
    expect(sourceOf(['databases', 'main', 'url'])).toBe('--database-url')
  })

  test('an explicit shorthand means this database and no other', () => {
    const file = { databases: { orders: { url: `${LOCAL}1` }, stock: { url: `${LOCAL}2` } } }
    expect(load(file, { env: { POSTCOMMIT_DATABASE_URL: LOCAL } }).config.databases).toEqual({ main: { url: LOCAL } })
  })

  test('DATABASE_URL overrides main in the file, and adds nothing to a file that names others', () => {
    const env = { DATABASE_URL: LOCAL }
    expect(load({ databases: { main: { url: `${LOCAL}1` } } }, { env }).config.databases['main']?.url).toBe(LOCAL)
    expect(Object.keys(load({ databases: { orders: { url: LOCAL } } }, { env }).config.databases)).toEqual(['orders'])
  })

  test('another host is refused without TLS, unless it is named in allowPlaintext', () => {
    const url = 'postgres://relay@db.internal/shop'
    expect(problemsOf({ databases: { main: { url } } })).toContain(
      'databases.main.url (postcommit.json): the connection to db.internal',
    )
    expect(problemsOf({ databases: { main: { url: `${url}?sslmode=disable` } } })).toContain('db.internal')
    expect(load({ databases: { main: { url: `${url}?sslmode=verify-full` } } }).config.databases).toBeDefined()
    expect(load({ databases: { main: { url } } }, { env: { POSTCOMMIT_ALLOW_PLAINTEXT: 'db.internal' } })).toBeDefined()
    expect(load({ databases: { main: { url: 'postgres://%2Fvar%2Frun%2Fpostgresql/shop' } } })).toBeDefined()
  })
})

describe('secrets by ${NAME}', () => {
  test('come from the environment, in the file and in JSON variables', () => {
    const env = { PW: 'p4ss', POSTCOMMIT_DESTINATIONS: '{"stock":{"url":"http://127.0.0.1:${PORT}"}}', PORT: '8080' }
    const { config } = load({ databases: { main: { url: 'postgres://relay:${PW}@127.0.0.1/shop' } } }, { env })
    expect(config.databases['main']?.url).toBe('postgres://relay:p4ss@127.0.0.1/shop')
    expect(config.destinations['stock']?.url).toBe('http://127.0.0.1:8080')
  })

  test('are missed by name, and $${ is not a name', () => {
    expect(problemsOf({ nats: { token: '${NOWHERE}' } })).toContain(
      'nats.token (postcommit.json): the environment variable NOWHERE is not set',
    )
    expect(load({ nats: { token: 'a$${b}$c' } }).config.nats.token).toBe('a${b}$c')
  })
})

describe('problems', () => {
  test('are all listed at once, with the place and what was meant', () => {
    const text = problemsOf(
      {
        databases: { main: {} },
        nats: { server: 'x', user: 'relay' },
        destinations: { stock: { url: 'ftp://x', timeoutMs: 45_000 }, NATS: { url: 'http://x' } },
        retentionMs: 1000,
        drainMs: 'soon',
      },
      { env: { POSTCOMMIT_HTTP_PORTS: '1', POSTCOMMIT_LOG_LEVEL: 'loud' }, flags: { '--http-port': '70000' } },
    )
    expect(text.split('\n').slice(1)).toEqual([
      '  - POSTCOMMIT_HTTP_PORTS sets nothing; did you mean POSTCOMMIT_HTTP_PORT?',
      '  - databases.main.url: is missing',
      '  - nats.server (postcommit.json): is not an option; did you mean servers?',
      '  - destinations.stock.url (postcommit.json): only http:// and https:// can be called',
      expect.stringMatching(/^ {2}- destinations\.NATS \(postcommit\.json\): destination names are/),
      '  - retentionMs (postcommit.json): must be at least 600000',
      '  - drainMs (postcommit.json): must be a whole number, not a text',
      '  - http.port (--http-port): must be at most 65535',
      '  - log.level (POSTCOMMIT_LOG_LEVEL): must be one of fatal, error, warn, info, debug, trace, silent',
      expect.stringMatching(/^ {2}- nats\.password: user and password go together/),
    ])
  })

  test.each([
    [
      { claimLeaseMs: 20_000, destinations: { stock: { url: 'http://x' } } },
      'claimLeaseMs (postcommit.json): must be more than twice the timeoutMs of destination stock, 10000',
    ],
    [
      { retentionMs: 600_000, nats: { streams: [{ name: 'A', subjects: ['a.>'], duplicateWindowMs: 600_001 }] } },
      'retentionMs (postcommit.json): must be at least the duplicateWindowMs of stream A, 600001',
    ],
    [{ http: { host: '0.0.0.0' } }, 'http.host (postcommit.json): listening beyond this host needs http.token'],
    [
      { leaseMs: 60_000, nats: { streams: [{ name: 'A', subjects: ['a.>'], duplicateWindowMs: 120_000 }] } },
      'nats.streams[0].duplicateWindowMs (postcommit.json): must be at least twice leaseMs plus nats.ackTimeoutMs, 122000',
    ],
    [{ nats: { user: 'a', password: 'b', token: 'c' } }, 'nats (postcommit.json): give only one of'],
    [
      { nats: { streams: [{ name: 'A', subjects: ['>'] }] } },
      'nats.streams[0].subjects[0] (postcommit.json): the first token must not be a wildcard',
    ],
    [
      {
        nats: {
          streams: [
            { name: 'A', subjects: ['a'] },
            { name: 'A', subjects: ['b'] },
          ],
        },
      },
      'nats.streams[1].name (postcommit.json): A is there twice',
    ],
    [{ destinations: { stock: { url: 'http://u:p@x' } } }, 'user and password in a URL are not sent'],
    [
      { destinations: { stock: { url: 'http://x', secrets: ['hunter2'] } } },
      'destinations.stock.secrets[0] (postcommit.json): signing secrets are whsec_',
    ],
    [
      { destinations: { stock: { url: 'http://x', backOffBaseMs: 10, backOffCapMs: 9 } } },
      'must not be less than backOffBaseMs, 10',
    ],
    [
      { dtm: { enabled: true } },
      'dtm.enabled (postcommit.json): needs coordinator.database, which holds what its clients submit',
    ],
    [{ dtm: { enabled: true } }, 'coordinator.allowUrls: clients of DTM submit the addresses of their services'],
    [
      { dtm: { enabled: true, host: '10.0.0.1' } },
      'dtm.host (postcommit.json): listening beyond this host needs dtm.allowExposed',
    ],
    [[], 'postcommit.json does not hold an object'],
  ])('%j', (file, problem) => {
    expect(problemsOf(file)).toContain(problem)
  })

  test('never quote a secret', () => {
    const text = problemsOf({
      databases: { main: { url: 'relay:hunter2@db' } },
      destinations: { stock: { url: 'http://x', secrets: ['hunter2'] } },
      http: { token: 'hunter2' },
    })
    expect(text).not.toContain('hunter2')
  })

  test('a file that is named must exist and be JSON', () => {
    expect(problemsOf(undefined, { flags: { '--config': 'other.json' } })).toContain('other.json does not exist')
    writeFileSync(join(cwd, 'other.json'), '{"leaseMs": 1')
    expect(problemsOf(undefined, { env: { POSTCOMMIT_CONFIG: 'other.json' } })).toContain('other.json cannot be read: ')
    expect(problemsOf(undefined, { env: { POSTCOMMIT_DATABASES: '{' } })).toContain(
      'databases: POSTCOMMIT_DATABASES is not JSON',
    )
  })
})
