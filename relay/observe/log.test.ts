import { describe, expect, test } from 'vitest'
import { createLog } from './log.ts'
import { maskAddresses } from './mask-addresses.ts'

function capture(format: 'json' | 'text', level = 'info') {
  const lines: string[] = []
  const log = createLog({ name: 'relay-1', level, format }, { write: (line) => lines.push(line) })
  return { log, lines }
}

describe('createLog', () => {
  test('writes one JSON document a line, with the fixed fields', () => {
    const { log, lines } = capture('json')
    log.info({ source: 'main', gid: 'g', branch: 1 }, 'published\nlevel=fatal forged')
    expect(lines).toHaveLength(1)
    expect(lines[0]?.match(/\n/g)).toHaveLength(1)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'info',
      relay: 'relay-1',
      source: 'main',
      gid: 'g',
      branch: 1,
      msg: 'published\nlevel=fatal forged',
    })
  })

  test.each(['json', 'text'] as const)('keeps secrets and payloads out (%s)', (format) => {
    const { log, lines } = capture(format)
    log.warn({ headers: { authorization: 'hunter2' }, payload: 'hunter2', destination: { secrets: ['hunter2'] } }, 'a')
    log.warn({ request: { headers: { cookie: 'hunter2' } }, password: 'hunter2' }, 'b')
    log.error({ error: 'connect postgres://relay:hunter2@db/shop failed' }, 'nats://u:hunter2@nats:4222 is away')
    log.error(new Error('nats://u:hunter2@nats:4222'))
    expect(lines).toHaveLength(4)
    expect(lines.join('')).not.toContain('hunter2')
    expect(lines.join('')).toContain('postgres://relay:***@db/shop')
  })

  test('writes for people on request', () => {
    const { log, lines } = capture('text')
    log.info({ source: 'main', shard: 3, error: 'two words' }, 'publishing')
    log.warn({ error: 'a\nb' }, 'x')
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}publishing {2}source=main {2}shard=3 {2}error="two words"\n$/)
    expect(lines[1]).toMatch(/ {2}warn x {2}error="a\\nb"\n$/)
  })

  test('leaves out what is below the level', () => {
    const { log, lines } = capture('json', 'warn')
    log.info('no')
    expect(lines).toEqual([])
  })
})

describe('maskAddresses', () => {
  test.each([
    ['postgres://u:p@h/d', 'postgres://u:***@h/d'],
    ['postgres://u:p:q/r@h/d and nats://a:b@c', 'postgres://u:***@h/d and nats://a:***@c'],
    ['http://h:8080/path?x=a@b', 'http://h:8080/path?x=a@b'],
    ['"http://h:80","x@y"', '"http://h:80","x@y"'],
  ])('%s', (text, masked) => {
    expect(maskAddresses(text)).toBe(masked)
  })
})
