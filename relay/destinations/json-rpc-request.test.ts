import { expect, test } from 'vitest'
import type { DestinationCall } from './destination-call.ts'
import { jsonRpcRequest } from './json-rpc-request.ts'

const call = (content: string | undefined): DestinationCall => ({
  source: 'main',
  gid: 'g',
  mode: 'msg',
  branch: '01',
  number: 1,
  op: 'action',
  dialect: 'dtm-json-rpc',
  target: 'http://stock/api?method=TransIn',
  key: undefined,
  content,
  headers: {},
  attempt: 1,
  timeoutMs: undefined,
  reads: 'body',
})
const own = { gid: 'g', trans_type: 'msg', branch_id: '01', op: 'action' }
const sent = (content: string | undefined) => JSON.parse(jsonRpcRequest(call(content), '/api?method=TransIn'))

test.each([
  ['{"amount":30}', { amount: 30, ...own }],
  [' { } ', own],
  [undefined, own],
  ['{"gid":"somebody else\'s","a":1}', { a: 1, ...own }],
  ['{"text":"a } \\" ,"}', { text: 'a } " ,', ...own }],
])('%j', (content, params) => {
  expect(sent(content)).toEqual({ jsonrpc: '2.0', id: expect.stringMatching(/.{20}/), method: 'TransIn', params })
})

test('a number that JavaScript cannot hold stays what it is', () => {
  expect(jsonRpcRequest(call('{"id":12345678901234567890}'), '/api?method=x')).toContain('"id":12345678901234567890,')
})

test.each(['[1]', '"text"', 'null', '{"a":', ''])('%j is no set of parameters', (content) => {
  expect(() => sent(content)).toThrow('no JSON object')
})
