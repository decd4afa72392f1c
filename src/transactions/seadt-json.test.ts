import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PostcommitError } from '../protocol/errors.ts'
import { dependenciesOf } from '../protocol/transaction-definition.ts'
import { readSeadt } from './seadt-json.ts'

interface Step {
  sub_tx_id: string
  commit_method: string
  callback_method?: string
  pre_step: string | string[]
  next_step: string | string[]
}

const step = (id: string, pre: string | string[], next: string | string[]): Step => ({
  sub_tx_id: id,
  commit_method: `/Module_Name/${id}`,
  callback_method: `/Module_Name/Un${id}`,
  pre_step: pre,
  next_step: next,
})
const trade = {
  seadt_name: 'BizTrans',
  tx_seq: [step('UseQuota', 'Start', 'UseCoupon'), step('UseCoupon', 'UseQuota', 'End')],
}
const problems = (source: unknown): string[] => {
  try {
    readSeadt(source, { methods: 'trade' })
  } catch (error) {
    if (!(error instanceof PostcommitError) || error.code !== 'POSTCOMMIT_INVALID_TRANSACTION') throw error
    return [...error.message.matchAll(/^ {2}([A-Z_]+) (\S*):/gm)].map(([, code, path]) => `${code} ${path}`)
  }
  return []
}
const sequence = (...steps: readonly unknown[]) => ({ seadt_name: 'x', tx_seq: steps })

test('a definition is read from text or from what was parsed', () => {
  const expected = {
    mode: 'saga',
    name: 'BizTrans',
    branches: [
      {
        branch: 'UseQuota',
        ops: {
          action: { destination: 'trade', path: '/Module_Name/UseQuota' },
          compensate: { destination: 'trade', path: '/Module_Name/UnUseQuota' },
        },
        payload: '{"for":"UseQuota"}',
        after: [],
      },
      {
        branch: 'UseCoupon',
        ops: {
          action: { destination: 'trade', path: '/Module_Name/UseCoupon' },
          compensate: { destination: 'trade', path: '/Module_Name/UnUseCoupon' },
        },
        payload: '{"for":"UseCoupon"}',
        after: ['UseQuota'],
      },
    ],
    options: { timeoutMs: 1000 },
  }
  const how = { methods: 'trade', data: (id: string) => ({ for: id }), options: { timeoutMs: 1000 } }
  expect(readSeadt(trade, how)).toEqual(expected)
  expect(readSeadt(JSON.stringify(trade), how)).toEqual(expected)
  const elsewhere = readSeadt(trade, { methods: (method) => `https://module.example${method}` })
  expect(elsewhere.branches[0]?.ops.action).toEqual({ url: 'https://module.example/Module_Name/UseQuota' })
})

test('steps may be written in any order, and may fork and join', () => {
  const definition = readSeadt(
    sequence(step('d', ['b', 'c'], 'End'), step('c', 'a', 'd'), step('b', 'a', 'd'), step('a', 'Start', ['b', 'c'])),
    { methods: 'trade' },
  )
  expect([...dependenciesOf(definition)]).toEqual([
    ['a', []],
    ['c', ['a']],
    ['b', ['a']],
    ['d', ['b', 'c']],
  ])
})

test.each<[string, unknown, string[]]>([
  ['no JSON', '{', ['INVALID_VALUE ']],
  ['a list', [], ['INVALID_VALUE ']],
  ['a field that nobody knows', { ...trade, timeout: 3 }, ['INVALID_VALUE timeout']],
  ['no steps', { seadt_name: 'x', tx_seq: [] }, ['INVALID_VALUE tx_seq']],
  [
    'several values at once',
    { tx_seq: [{ ...step('a', 'Start', 'End'), commit_method: 7 }, step('b', '', 'End')] },
    ['INVALID_VALUE seadt_name', 'INVALID_VALUE tx_seq[0].commit_method', 'INVALID_VALUE tx_seq[1].pre_step'],
  ],
  [
    'a path that is none',
    sequence({ ...step('a', 'Start', 'End'), commit_method: 'UseQuota' }),
    ['INVALID_VALUE branches[0].ops.action.path'],
  ],
  [
    'no start',
    sequence(step('a', 'b', 'b'), step('b', 'a', ['a', 'End'])),
    ['NO_START tx_seq', 'CYCLE tx_seq[0]', 'CYCLE tx_seq[1]'],
  ],
  [
    'no end',
    sequence(step('a', 'Start', 'b'), step('b', 'a', 'a')),
    ['NO_END tx_seq', 'PRE_NEXT_MISMATCH tx_seq[1].next_step'],
  ],
  [
    'unknown neighbours',
    sequence(step('a', ['Start', 'x'], ['y', 'End'])),
    ['UNKNOWN_STEP tx_seq[0].pre_step', 'UNKNOWN_STEP tx_seq[0].next_step'],
  ],
  [
    'a duplicate',
    sequence(step('a', 'Start', 'End'), step('a', 'Start', 'End')),
    ['DUPLICATE_STEP tx_seq[1].sub_tx_id'],
  ],
  [
    'a reserved name',
    sequence(step('a', 'Start', 'End'), step('End', 'Start', 'End')),
    ['RESERVED_NAME tx_seq[1].sub_tx_id'],
  ],
  [
    'sides that disagree',
    sequence(step('a', 'Start', 'End'), step('b', 'a', 'End')),
    ['PRE_NEXT_MISMATCH tx_seq[1].pre_step'],
  ],
  ['a step before itself', sequence(step('a', ['Start', 'a'], ['a', 'End'])), ['CYCLE tx_seq[0]']],
  [
    'a longer cycle beside a good path',
    sequence(step('a', 'Start', 'End'), step('b', 'c', 'c'), step('c', 'b', 'b')),
    ['CYCLE tx_seq[1]', 'CYCLE tx_seq[2]'],
  ],
  [
    'several at once',
    sequence(step('a', 'x', 'b'), step('b', 'a', 'y'), step('b', 'Start', 'End')),
    [
      'DUPLICATE_STEP tx_seq[2].sub_tx_id',
      'UNKNOWN_STEP tx_seq[0].pre_step',
      'PRE_NEXT_MISMATCH tx_seq[0].next_step',
      'UNKNOWN_STEP tx_seq[1].next_step',
    ],
  ],
  [
    'a step that cannot be undone before one that can fail',
    sequence({ ...step('a', 'Start', 'b'), callback_method: undefined }, step('b', 'a', 'End')),
    ['NOT_UNDOABLE branches[1]'],
  ],
])('D1: %s is refused with every problem', (_, source, expected) => {
  expect(problems(source)).toEqual(expected)
})

test('every graph without a fault is read with its order, and every fault that is put into it is found', () => {
  const graph = fc.array(fc.array(fc.nat(), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(graph, fc.nat(), fc.nat(), (drawn, shuffle, where) => {
      const pre = drawn.map((names, index) =>
        index === 0
          ? ['Start']
          : [...new Set(names.map((n) => (n % (index + 1) === index ? 'Start' : `t${n % (index + 1)}`)))],
      )
      const next = drawn.map((_, index) => {
        const after = pre.flatMap((names, other) => (names.includes(`t${index}`) ? [`t${other}`] : []))
        return after.length === 0 ? ['End'] : after
      })
      const steps = pre.map((names, index) => step(`t${index}`, names, next[index] ?? []))
      const turned = [...steps.slice(shuffle % steps.length), ...steps.slice(0, shuffle % steps.length)]
      const definition = readSeadt(sequence(...turned), { methods: 'trade' })
      expect(new Map(definition.branches.map(({ branch, after }) => [branch, after]))).toEqual(
        new Map(pre.map((names, index) => [`t${index}`, names.filter((name) => name !== 'Start')])),
      )
      const victim = turned[where % turned.length]
      const others = turned.filter((one) => one !== victim)
      if (victim === undefined) return
      expect(problems(sequence(...others, { ...victim, pre_step: ['nobody'] }))).not.toEqual([])
      expect(problems(sequence(...others, victim, victim))).toContain(
        `DUPLICATE_STEP tx_seq[${turned.length}].sub_tx_id`,
      )
      expect(problems(sequence(...others, { ...victim, next_step: [victim.sub_tx_id] }))).not.toEqual([])
      const backwards = { ...victim, pre_step: [victim.pre_step, victim.sub_tx_id].flat() }
      const itself = { ...backwards, next_step: [victim.next_step, victim.sub_tx_id].flat() }
      expect(problems(sequence(...others, itself)).some((problem) => problem.startsWith('CYCLE'))).toBe(true)
    }),
  )
})
