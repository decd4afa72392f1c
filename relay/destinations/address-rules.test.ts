import { describe, expect, test } from 'vitest'
import { readAddressRules } from './address-rules.ts'

const anyPort = ['1-65535']

/** Ways to write an address that nobody on the internet has. */
const INSIDE = [
  'http://127.0.0.1',
  'http://127.1',
  'http://0x7f.1',
  'http://2130706433',
  'http://017700000001',
  'http://0.0.0.0',
  'http://[::]',
  'http://[::1]',
  'http://[::ffff:127.0.0.1]',
  'http://[::ffff:7f00:1]',
  'http://[::ffff:a9fe:a9fe]',
  'http://10.1.2.3',
  'http://172.16.0.1',
  'http://192.168.1.1',
  'http://169.254.169.254/latest/meta-data',
  'http://100.100.100.200',
  'http://192.0.2.1',
  'http://224.0.0.1',
  'http://255.255.255.255',
  'http://[fe80::1]',
  'http://[fd00::1]',
  'http://[fd00:ec2::254]',
  'http://[64:ff9b::7f00:1]',
  'http://[2002:7f00:1::]',
  'http://[2001:db8::1]',
  'http://[::7f00:1]',
]

describe('addresses', () => {
  test.each(INSIDE)('%s is not called, not even if its host is listed by name', (text) => {
    const url = new URL(text)
    const rules = readAddressRules({ allow: ['*.example.com', 'localhost'], ports: anyPort })
    expect(rules.problemOf(url)).toBe('the address is not allowed')
    expect(rules.allows('api.example.com', [url.hostname.replace(/^\[|\]$/g, '')])).toBe(false)
  })

  test('a listed name is called where it leads to the public, and not if one of its addresses does not', () => {
    const rules = readAddressRules({ allow: ['*.example.com'] })
    expect(rules.allows('api.example.com', ['93.184.216.34', '2606:2800:220:1::1'])).toBe(true)
    expect(rules.allows('api.example.com', ['93.184.216.34', '127.0.0.1'])).toBe(false)
    expect(rules.allows('api.example.com', [])).toBe(false)
    expect(rules.allows('example.com', ['93.184.216.34'])).toBe(false)
    expect(rules.allows('evil-example.com', ['93.184.216.34'])).toBe(false)
    expect(rules.problemOf(new URL('http://other.org'))).toBe('the host is not allowed')
  })

  test('a listed network is called whatever the name', () => {
    const rules = readAddressRules({ allow: ['10.1.0.0/16', 'fd00::/8', '192.168.1.7'] })
    expect(rules.allows('stock.internal', ['10.1.2.3', 'fd00::5'])).toBe(true)
    expect(rules.allows('stock.internal', ['::ffff:10.1.2.3'])).toBe(true)
    expect(rules.allows('stock.internal', ['10.2.2.3'])).toBe(false)
    expect(rules.allows('stock.internal', ['192.168.1.7'])).toBe(true)
    expect(rules.allows('stock.internal', ['192.168.1.8'])).toBe(false)
    expect(rules.problemOf(new URL('http://stock.internal'))).toBe(undefined)
  })

  test('nothing is called without a rule', () => {
    expect(readAddressRules({ allow: [] }).problemOf(new URL('https://example.com'))).toBe('the host is not allowed')
  })

  test('ports are those that are listed', () => {
    const rules = readAddressRules({ allow: ['10.0.0.0/8'], ports: ['443', '8000-8999'] })
    const problem = (text: string) => rules.problemOf(new URL(text))
    expect(problem('https://10.0.0.1')).toBe(undefined)
    expect(problem('http://10.0.0.1:8080')).toBe(undefined)
    expect(problem('http://10.0.0.1')).toBe('port 80 is not allowed')
    expect(problem('http://10.0.0.1:5432')).toBe('port 5432 is not allowed')
  })

  test('nothing but http and https, and nobody by name and password', () => {
    const rules = readAddressRules({ allow: ['10.0.0.0/8'], ports: anyPort })
    expect(rules.problemOf(new URL('ftp://10.0.0.1'))).toBe('neither http nor https')
    expect(rules.problemOf(new URL('http://a:b@10.0.0.1'))).toBe('it has a user or a password')
  })

  test.each(['10.0.0.0/33', '10.0.0.0/x', 'fd00::/129', 'http://a', 'a b', '*'])('%s is no rule', (entry) => {
    expect(() => readAddressRules({ allow: [entry] })).toThrow(RangeError)
  })
  test.each(['0x50', 'all', '80-', ''])('%s is no port', (entry) => {
    expect(() => readAddressRules({ allow: [], ports: [entry] })).toThrow(RangeError)
  })
})
