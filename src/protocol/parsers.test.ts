import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseDestination, parsePath } from './destination.ts'
import { messageId, parseGid, parseMessageId } from './gid.ts'
import { parseHeaders } from './headers.ts'
import { parseSubject, subjectProblem } from './subject.ts'

describe('parseSubject', () => {
  test.each(['order.placed', 'a', 'A-1_b.c', 'a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p'])('takes %j', (subject) => {
    expect(parseSubject(subject)).toBe(subject)
  })

  test.each([
    '',
    '.a',
    'a.',
    'a..b',
    '*',
    'a.*',
    '>',
    'a.>',
    'a b',
    'a\tb',
    'a\r\nPUB x 0\r\n\r\n',
    'a\0b',
    '$JS.API.STREAM.DELETE.X',
    '$SYS.a',
    '$KV.b.c',
    '_INBOX.abc',
    'é.b',
    'a'.repeat(256),
    'a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q',
  ])('refuses %j', (subject) => {
    expect(() => parseSubject(subject)).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_SUBJECT' }))
  })

  test('nothing it takes can end a protocol line, be a wildcard or be somebody’s API', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        if (subjectProblem(text) === undefined) expect(text).toMatch(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/)
      }),
      { numRuns: 3000 },
    )
  })
})

describe('parseGid', () => {
  test.each(['a', 'order-7', 'A_z-0', 'x'.repeat(64)])('takes %j', (gid) => {
    expect(parseGid(gid)).toBe(gid)
  })

  test.each(['', '../x', 'a b', 'a\n', 'ü', 'x'.repeat(65), 'a:b', undefined, 7])('refuses %j', (gid) => {
    expect(() => parseGid(gid as string)).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_GID' }))
  })

  test('a message id gives back its parts', () => {
    const gid = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/)
    fc.assert(
      fc.property(gid, fc.integer({ min: 1, max: 999_999_999 }), (id, branch) => {
        expect(parseMessageId(messageId(id, branch))).toEqual({ gid: id, branch })
      }),
    )
    for (const other of ['', 'a', 'a:', ':1', 'a:b', 'a:1:2', 'a b:1']) expect(parseMessageId(other)).toBeUndefined()
  })
})

describe('parsePath', () => {
  test.each(['/', '/deduct', '/a/b?c=d&e=/..', '/%20', '/a.b/..c'])('takes %j', (path) => {
    expect(parsePath(path)).toBe(path)
  })

  test.each([
    '',
    'deduct',
    '//evil.example',
    '/a/../b',
    '/./a',
    '/%2e%2E/a',
    '/a b',
    '/a#b',
    '/a\\b',
    '/é',
    '/a\r\n',
    `/${'a'.repeat(2048)}`,
  ])('refuses %j', (path) => {
    expect(() => parsePath(path)).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_PATH' }))
  })

  test('whatever it takes stays below the configured base', () => {
    fc.assert(
      fc.property(fc.webPath(), fc.webQueryParameters(), (path, query) => {
        const target = `${path}?${query}`
        try {
          parsePath(target)
        } catch {
          return
        }
        const url = new URL(`http://stock.example/base${target}`)
        expect(url.origin).toBe('http://stock.example')
        expect(url.pathname.startsWith('/base/')).toBe(true)
      }),
    )
  })
})

describe('parseDestination', () => {
  test.each(['stock', 'a', 'stock-2'])('takes %j', (name) => {
    expect(parseDestination(name)).toBe(name)
  })

  test.each(['', 'nats', 'Stock', '2stock', 'a_b', 'http://x', 'a'.repeat(64)])('refuses %j', (name) => {
    expect(() => parseDestination(name)).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_DESTINATION' }))
  })
})

describe('parseHeaders', () => {
  test('folds names to lower case', () => {
    expect(parseHeaders({ 'X-Tenant': 'a b', traceparent: '00-1' })).toEqual({ 'x-tenant': 'a b', traceparent: '00-1' })
  })

  test.each([
    [{ 'a\r\nb': 'x' }],
    [{ a: 'x\r\ny' }],
    [{ a: 'x\0' }],
    [{ a: 'é' }],
    [{ '': 'x' }],
    [{ 'a b': 'x' }],
    [{ a: 'x'.repeat(1025) }],
    [{ ['n'.repeat(65)]: 'x' }],
    [{ host: 'x' }],
    [{ 'Transfer-Encoding': 'chunked' }],
    [{ 'Nats-Rollup': 'all' }],
    [{ 'nats-msg-id': 'x' }],
    [{ 'webhook-id': 'x' }],
    [{ 'postcommit-gid': 'x' }],
    [{ 'Proxy-Authorization': 'x' }],
    [{ authorization: 'x' }],
    [{ A: 'x', a: 'y' }],
    [Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`h${n}`, 'x']))],
    [{ a: 7 }],
  ])('refuses %j', (headers) => {
    expect(() => parseHeaders(headers as Record<string, string>)).toThrow(
      expect.objectContaining({ code: 'POSTCOMMIT_INVALID_HEADER' }),
    )
  })
})
