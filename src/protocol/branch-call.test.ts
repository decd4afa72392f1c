import { expect, test } from 'vitest'
import { type BranchRequest, readBranchCall } from './branch-call.ts'

const own = { 'postcommit-gid': 'g1', 'postcommit-branch': '01', 'postcommit-op': 'action' }
const call = { gid: 'g1', branch: '01', op: 'action' }
const query = '/deduct?gid=g1&trans_type=saga&branch_id=01&op=action'

test.each<[string, BranchRequest]>([
  ['headers as an object', { headers: own, url: '/deduct' }],
  ['headers of fetch', new Request('http://stock/deduct', { headers: own })],
  ['the query of a path', { headers: {}, url: query }],
  ['the query of a URL', new Request(`http://stock${query}#part`)],
  ['no headers at all', { url: query }],
])('reads a branch from %s', (_, request) => {
  expect(readBranchCall(request)).toEqual(call)
})

test('headers win over the query, which anybody behind a link can write', () => {
  expect(readBranchCall({ headers: own, url: '/?gid=g2&branch_id=02&op=compensate' })).toEqual(call)
})

test.each<[string, BranchRequest]>([
  ['nothing', {}],
  ['no branch', { headers: { 'postcommit-gid': 'g1', 'postcommit-op': 'action' } }],
  ['no op', { headers: { ...own, 'postcommit-op': undefined } }],
  ['an unknown op', { headers: { ...own, 'postcommit-op': 'inbox' } }],
  ['an empty branch', { headers: { ...own, 'postcommit-branch': '' } }],
  ['a long branch', { headers: { ...own, 'postcommit-branch': '1'.repeat(129) } }],
  ['a branch with a quote', { headers: { ...own, 'postcommit-branch': "'" } }],
  ['a header given twice', { headers: { ...own, 'postcommit-op': ['action', 'compensate'] } }],
  ['a parameter given twice', { url: `${query}&op=compensate` }],
  ['a back-query', { url: '/?gid=g1&trans_type=msg&branch_id=00&op=msg' }],
  ['headers in part and the query in part', { headers: { 'postcommit-gid': 'g1' }, url: query }],
])('refuses %s', (_, request) => {
  expect(() => readBranchCall(request)).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_BRANCH' }))
})

test('refuses a gid that is none', () => {
  expect(() => readBranchCall({ headers: { ...own, 'postcommit-gid': '../etc' } })).toThrow(
    expect.objectContaining({ code: 'POSTCOMMIT_INVALID_GID' }),
  )
})
