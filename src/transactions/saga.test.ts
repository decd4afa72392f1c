import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PostcommitError } from '../protocol/errors.ts'
import { readDefinition } from '../protocol/read-definition.ts'
import { dependenciesOf } from '../protocol/transaction-definition.ts'
import { saga } from './saga.ts'

const undoable = (name: string) => ({ do: `${name}/do`, undo: `${name}/undo` }) as const

function problems(define: () => unknown): string[] {
  try {
    define()
  } catch (error) {
    if (!(error instanceof PostcommitError) || error.code !== 'POSTCOMMIT_INVALID_TRANSACTION') throw error
    return [...error.message.matchAll(/^ {2}([A-Z_]+) (\S*):/gm)].map(([, code, path]) => `${code} ${path}`)
  }
  return []
}

test('steps become branches by their names, each after the one before it', () => {
  const definition = saga('order', { timeoutMs: 60_000, retry: { baseMs: 100, capMs: 1000 }, retryLimit: 5 })
    .step('check', { do: 'stock/look', leavesNothing: true, data: { sku: 'a' } })
    .step('order', {
      ...undoable('orders'),
      data: { id: 1n.toString(), at: new Date(0) },
      headers: { 'X-Tenant': 't' },
    })
    .step('pay', { do: 'https://bank.example/pay?x=1', pivot: true, data: new Uint8Array([1]) })
    .step('mail', { do: { subject: 'order.paid' }, retryOnly: true, delayMs: 5 })
    .define()
  expect(definition).toEqual({
    mode: 'saga',
    name: 'order',
    options: { timeoutMs: 60_000, retry: { baseMs: 100, capMs: 1000 }, retryLimit: 5 },
    branches: [
      {
        branch: 'check',
        ops: { action: { destination: 'stock', path: '/look' } },
        payload: '{"sku":"a"}',
        leavesNothing: true,
      },
      {
        branch: 'order',
        ops: {
          action: { destination: 'orders', path: '/do' },
          compensate: { destination: 'orders', path: '/undo' },
        },
        payload: '{"id":"1","at":"1970-01-01T00:00:00.000Z"}',
        headers: { 'x-tenant': 't' },
      },
      { branch: 'pay', ops: { action: { url: 'https://bank.example/pay?x=1' } }, payloadBase64: 'AQ==' },
      { branch: 'mail', ops: { action: { subject: 'order.paid' } }, retryOnly: true, delayMs: 5 },
    ],
  })
  expect(readDefinition(JSON.parse(JSON.stringify(definition)), '')).toEqual(definition)
  expect(dependenciesOf(definition).get('mail')).toEqual(['pay'])
})

test('a builder can be gone on with in two ways', () => {
  const trip = saga('trip').step('hotel', undoable('hotel'))
  const names = (definition: { readonly branches: readonly { readonly branch: string }[] }) =>
    definition.branches.map(({ branch }) => branch)
  expect(names(trip.step('train', undoable('train')).define())).toEqual(['hotel', 'train'])
  expect(names(trip.step('plane', undoable('plane')).define())).toEqual(['hotel', 'plane'])
})

test('a concurrent saga waits only where it says so', () => {
  const definition = saga('trip', { concurrent: true })
    .step('hotel', undoable('hotel'))
    .step('plane', undoable('plane'))
    .step('pay', { do: 'bank/pay', pivot: true, after: ['hotel', 'plane'] })
    .define()
  expect([...dependenciesOf(definition).values()]).toEqual([[], [], ['hotel', 'plane']])
})

describe('what cannot be carried out to the end is refused, with every problem', () => {
  const base = saga('s').step('a', undoable('a'))
  const b = undoable('b')
  // What the compiler refuses as well:
  // @ts-expect-error a step that is not there
  const unknown = () => base.step('b', { ...b, after: ['x'] })
  // @ts-expect-error a step after itself
  const itself = () => base.step('b', { ...b, after: ['b'] })
  // @ts-expect-error a name for the second time
  const twice = () => base.step('a', b)
  // @ts-expect-error a step that does not say how the saga gets past it
  const noWayBack = () => base.step('b', { do: 'b/do' }).step('c', b)
  // @ts-expect-error a topic that would have to be undone
  const undoneTopic = () => base.step('b', { do: { topic: 't' }, undo: 'b/undo' }).define()
  // @ts-expect-error a topic that may refuse in part
  const pivotTopic = () => base.step('b', { do: { topic: 't' }, pivot: true }).define()
  const cases: readonly (readonly [string, () => unknown, string[]])[] = [
    ['a topic and its undoing', undoneTopic, ['UNSUITABLE_TOPIC branches[1].ops.action']],
    ['a topic as pivot', pivotTopic, ['UNSUITABLE_TOPIC branches[1].ops.action']],
    ['no step', () => saga('s').define(), ['NO_BRANCHES branches']],
    [
      'one that can fail after the pivot',
      () => base.step('pay', { do: 'bank/pay', pivot: true }).step('b', undoable('b')).define(),
      ['NOT_UNDOABLE branches[2]'],
    ],
    [
      'two pivots',
      () => base.step('pay', { do: 'bank/pay', pivot: true }).step('ship', { do: 'b/ship', pivot: true }).define(),
      ['NOT_UNDOABLE branches[2]'],
    ],
    [
      'a pivot beside one that can fail',
      () => base.step('pay', { do: 'bank/pay', pivot: true, after: [] }).define(),
      ['NOT_UNDOABLE branches[0]'],
    ],
    [
      'retry-only before one that can fail',
      () => saga('s').step('mail', { do: 'mail/send', retryOnly: true }).step('b', undoable('b')).define(),
      ['NOT_UNDOABLE branches[1]'],
    ],
    [
      'a bad name and a bad address',
      () => base.step('b c', undoable('b')).step('d', { do: 'nowhere/', undo: 'X/y' }).define(),
      ['INVALID_VALUE branches[1].branch', 'INVALID_VALUE branches[2].ops.compensate.destination'],
    ],
    [
      'no path',
      () =>
        saga('s')
          .step('a', { do: { destination: 'a', path: '' }, pivot: true })
          .define(),
      ['INVALID_VALUE branches[0].ops.action.path'],
    ],
    [
      'a bad option',
      () => saga('s', { timeoutMs: -1 }).step('a', undoable('a')).define(),
      ['INVALID_VALUE options.timeoutMs'],
    ],
    ['a step that is unknown', () => unknown().define(), ['UNKNOWN_BRANCH branches[1].after']],
    ['itself', () => itself().define(), ['LATER_BRANCH branches[1].after']],
    ['a name twice', () => twice().define(), ['DUPLICATE_BRANCH branches[1].branch']],
    ['no word about the way back', () => noWayBack().define(), ['NOT_UNDOABLE branches[2]']],
  ]
  test.each(cases)('%s', (_, define, expected) => {
    expect(problems(define)).toEqual(expected)
  })

  test('data that JSON would change is refused where it is given', () => {
    expect(() => base.step('b', { ...undoable('b'), data: { n: Number.NaN } })).toThrow(
      expect.objectContaining({ code: 'POSTCOMMIT_INVALID_PAYLOAD' }),
    )
  })
})

test('whatever a saga that is accepted fails at, all that took effect can be undone or goes on', () => {
  const kind = fc.constantFrom('undo', 'pivot', 'retryOnly', 'leavesNothing', 'undo-retryOnly')
  const plan = fc.array(fc.tuple(kind, fc.option(fc.array(fc.nat(), { maxLength: 3 }), { nil: undefined })), {
    minLength: 1,
    maxLength: 6,
  })
  let accepted = 0
  fc.assert(
    fc.property(plan, fc.boolean(), fc.infiniteStream(fc.nat()), (steps, concurrent, choices) => {
      const branches = steps.map(([what, after], index) => ({
        branch: `s${index}`,
        ops: {
          action: { subject: 'a' },
          ...(what.startsWith('undo') ? { compensate: { subject: 'b' } } : {}),
        },
        ...(what.endsWith('retryOnly') ? { retryOnly: true } : {}),
        ...(what === 'leavesNothing' ? { leavesNothing: true } : {}),
        ...(after === undefined || index === 0 ? {} : { after: after.map((n) => `s${n % index}`) }),
      }))
      let definition: ReturnType<typeof readDefinition>
      try {
        definition = readDefinition({ mode: 'saga', branches, options: { concurrent } }, '')
      } catch {
        return
      }
      accepted += 1
      // Run it in any order that the dependencies allow, and let any step fail that may.
      const done = new Set<string>()
      const dependencies = dependenciesOf(definition)
      for (const choice of choices) {
        const ready = definition.branches.filter(
          ({ branch }) => !done.has(branch) && dependencies.get(branch)?.every((name) => done.has(name)) === true,
        )
        const next = ready[choice % Math.max(1, ready.length)]
        if (next === undefined) break
        for (const failing of ready.filter(({ retryOnly }) => retryOnly !== true)) {
          const stuck = definition.branches.filter(
            ({ branch, ops, leavesNothing }) =>
              branch !== failing.branch && done.has(branch) && ops.compensate === undefined && leavesNothing !== true,
          )
          expect({ failing: failing.branch, stuck }).toEqual({ failing: failing.branch, stuck: [] })
        }
        done.add(next.branch)
      }
      expect(done.size).toBe(definition.branches.length)
    }),
    { numRuns: 3000 },
  )
  expect(accepted).toBeGreaterThan(300)
})
