import { expect, test } from 'vitest'
import { definitionProblems } from './definition-problems.ts'
import { readDefinition } from './read-definition.ts'
import { Unreadable } from './read-json.ts'
import { type BranchDefinition, dependenciesOf, type TransactionDefinition } from './transaction-definition.ts'

const url = (path: string) => ({ url: `http://stock${path}` })
const undoable = (branch: string, more: Partial<BranchDefinition> = {}): BranchDefinition => ({
  branch,
  ops: { action: url('/do'), compensate: url('/undo') },
  ...more,
})
const final = (branch: string, more: Partial<BranchDefinition> = {}): BranchDefinition => ({
  branch,
  ops: { action: url('/do') },
  ...more,
})
const saga = (branches: readonly BranchDefinition[], concurrent = false): TransactionDefinition => ({
  mode: 'saga',
  branches,
  options: { concurrent },
})
const codes = (definition: TransactionDefinition) =>
  definitionProblems(definition).map(({ code, path }) => [code, path])

test('a branch waits for what it names, for the one before it, or in a concurrent transaction for nobody', () => {
  const branches = [undoable('a'), undoable('b'), undoable('c', { after: ['a'] })]
  expect([...dependenciesOf(saga(branches))]).toEqual([
    ['a', []],
    ['b', ['a']],
    ['c', ['a']],
  ])
  expect([...dependenciesOf(saga(branches, true))]).toEqual([
    ['a', []],
    ['b', []],
    ['c', ['a']],
  ])
})

test('a topic is for what is never undone', () => {
  const toTopic = (more: Partial<BranchDefinition> = {}) => final('a', { ops: { action: { topic: 't' } }, ...more })
  const unsuitable = [['UNSUITABLE_TOPIC', 'branches[0].ops.action']]
  expect(codes({ mode: 'msg', branches: [toTopic()] })).toEqual([])
  expect(codes(saga([toTopic({ retryOnly: true })]))).toEqual([])
  expect(codes(saga([toTopic({ leavesNothing: true })]))).toEqual([])
  expect(codes(saga([toTopic()]))).toEqual(unsuitable)
  const undone = { ops: { action: { topic: 't' }, compensate: url('/undo') }, retryOnly: true }
  expect(codes(saga([toTopic(undone)]))).toEqual(unsuitable)
  const ofXa = { action: { topic: 't' }, commit: url('/c'), rollback: url('/r') }
  expect(codes({ mode: 'xa', branches: [final('a', { ops: ofXa })] })).toEqual(unsuitable)
})

test('every problem is listed, not the first alone', () => {
  const branches = [
    undoable('a', { after: ['b'] }),
    undoable('b', { after: ['nobody', 'b'] }),
    { branch: 'a', ops: { compensate: url('/undo'), cancel: url('/cancel') } },
  ]
  expect(codes({ ...saga(branches), backQuery: { target: url('/asked') } })).toEqual([
    ['UNEXPECTED_FIELD', 'backQuery'],
    ['MISSING_OP', 'branches[2].ops'],
    ['UNEXPECTED_OP', 'branches[2].ops.cancel'],
    ['DUPLICATE_BRANCH', 'branches[2].branch'],
    ['LATER_BRANCH', 'branches[0].after'],
    ['UNKNOWN_BRANCH', 'branches[1].after'],
    ['LATER_BRANCH', 'branches[1].after'],
  ])
  expect(codes({ mode: 'msg', branches: [] })).toEqual([['NO_BRANCHES', 'branches']])
  expect(codes({ mode: 'msg', branches: [final('1', { retryOnly: true })] })).toEqual([
    ['UNEXPECTED_FIELD', 'branches[0].retryOnly'],
  ])
})

test.each<[string, TransactionDefinition, string[]]>([
  ['all can be undone', saga([undoable('a'), undoable('b')]), []],
  ['what cannot be undone comes last', saga([undoable('a'), final('b')]), []],
  ['one that can fail comes after it', saga([final('a'), undoable('b')]), ['branches[1]']],
  ['two that cannot be undone and can fail', saga([final('a'), final('b')]), ['branches[1]']],
  [
    'what comes after it is repeated until it succeeds',
    saga([undoable('a'), final('b'), final('c', { retryOnly: true })]),
    [],
  ],
  ['it runs beside one that can fail', saga([undoable('a'), final('b')], true), ['branches[0]']],
  ['it waits for all that can fail', saga([undoable('a'), undoable('b'), final('c', { after: ['a', 'b'] })], true), []],
  [
    'it waits for one of two',
    saga([undoable('a'), undoable('b'), final('c', { after: ['b'] })], true),
    ['branches[0]'],
  ],
  [
    'it waits for both by way of another',
    saga([undoable('a'), undoable('b', { after: ['a'] }), final('c', { after: ['b'] })], true),
    [],
  ],
  ['it leaves nothing behind', saga([final('check', { leavesNothing: true }), undoable('b')]), []],
  [
    'a retry-only one starts before one that can fail',
    saga([final('a', { retryOnly: true }), undoable('b')]),
    ['branches[1]'],
  ],
  ['all go forward only', saga([final('a', { retryOnly: true }), final('b', { retryOnly: true })], true), []],
])('whatever fails, the rest can be undone: %s', (_, definition, paths) => {
  expect(codes(definition)).toEqual(paths.map((path) => ['NOT_UNDOABLE', path]))
})

test.each<[string, unknown]>([
  ['branches[0].branch', saga([undoable('a b')])],
  ['branches[0].ops.action.url', saga([{ branch: 'a', ops: { action: { url: 'ftp://x/' } } }])],
  ['branches[0].ops.action.url', saga([{ branch: 'a', ops: { action: { url: 'http://me:pass@x/' } } }])],
  ['branches[0].ops.action.path', saga([{ branch: 'a', ops: { action: { destination: 'stock', path: '/../x' } } }])],
  ['branches[0].ops.action.subject', saga([{ branch: 'a', ops: { action: { subject: '$JS.API.x' } } }])],
  ['branches[0].ops.action.subject', saga([{ branch: 'a', ops: { action: { subject: 'postcommit.x' } } }])],
  ['branches[0].payload', saga([undoable('a', { payload: '\0' })])],
  ['branches[0].payload', saga([undoable('a', { payload: 'no JSON' })])],
  ['branches[0].payload', saga([undoable('a', { payload: '\ud800' })])],
  ['branches[0].payloadBase64', saga([undoable('a', { payloadBase64: 'QQ' })])],
  ['branches[0]', saga([undoable('a', { payload: '1', payloadBase64: 'QQ==' })])],
  ['branches[0].headers', saga([undoable('a', { headers: { host: 'x' } })])],
  ['options.retry.capMs', { ...saga([undoable('a')]), options: { retry: { baseMs: 10, capMs: 9 } } }],
  ['options.timeoutMs', { ...saga([undoable('a')]), options: { timeoutMs: 0.5 } }],
  ['mode', { ...saga([undoable('a')]), mode: 'at' }],
])('%s is refused where it is wrong', (path, definition) => {
  const read = () => readDefinition(definition, '')
  expect(read).toThrow(Unreadable)
  expect(read).toThrow(expect.objectContaining({ path }))
})
