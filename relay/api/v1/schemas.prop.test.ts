import fc from 'fast-check'
import { parseBatch, type TransactionDefinition } from 'postcommit/protocol'
import { expect, test } from 'vitest'
import { Batch } from './schemas.ts'

const target = { destination: 'stock', path: '/deduct' }
const message: TransactionDefinition = {
  mode: 'msg',
  name: 'order placed',
  branches: [
    { branch: '01', ops: { action: target }, payload: '{}', headers: { 'x-a': 'b' }, key: 'k', delayMs: 5 },
    { branch: '02', ops: { action: { url: 'https://a.example/b' } }, payloadBase64: 'AAE=' },
    { branch: '03', ops: { action: { topic: 'order.placed' } } },
  ],
  backQuery: { target: { subject: 'orders.back-query' }, checkAfterMs: 100, hint: '7' },
  options: { requestTimeoutMs: 5, retry: { baseMs: 1, capMs: 2 }, concurrent: true },
}
const saga: TransactionDefinition = {
  mode: 'saga',
  branches: [{ branch: 'a', ops: { action: target, compensate: target }, after: [] }],
  options: { timeoutMs: 100, retryLimit: 3 },
}
const operations: readonly Readonly<Record<string, unknown>>[] = [
  { do: 'prepare', gid: 'g', transaction: message },
  { do: 'submit', gid: 'g', transaction: saga, waitMs: 100 },
  { do: 'submit', gid: 'g' },
  { do: 'abort', gid: 'g', reason: 'why' },
  { do: 'registerBranch', gid: 'g', mode: 'tcc', branch: { branch: 'a', ops: { confirm: target, cancel: target } } },
  {
    do: 'registerBranch',
    gid: 'g',
    mode: 'saga',
    branch: { branch: 'b', ops: { compensate: target } },
    ended: ['a', 'a.1'],
  },
  { do: 'query', gid: 'g', waitMs: 0 },
]

function isRead(value: unknown): boolean {
  try {
    parseBatch(JSON.stringify(value))
    return true
  } catch {
    return false
  }
}

const isDescribed = (value: unknown) => Batch.safeParse(JSON.parse(JSON.stringify(value))).success

test('what the parsers read, the document describes', () => {
  expect([isRead({ operations }), isDescribed({ operations })]).toEqual([true, true])
})

test('whatever is changed in a request, what is still read is still described', () => {
  const other = fc.oneof(
    fc.jsonValue({ maxDepth: 1 }),
    fc.constantFrom<unknown>('saga', 'msg', 'g2', 1, 60_001, true, [], {}),
  )
  let read = 0
  fc.assert(
    fc.property(fc.constantFrom(...operations), fc.nat(), other, fc.boolean(), (operation, place, value, isRemoved) => {
      const changed = structuredClone(operation)
      change(changed, place, isRemoved ? undefined : value)
      const batch = { operations: [changed] }
      if (!isRead(batch)) return
      read += 1
      expect(isDescribed(batch)).toBe(true)
    }),
    { numRuns: 3000 },
  )
  expect(read).toBeGreaterThan(100)
})

test('a field that nobody knows is refused by both, wherever it is', () => {
  for (const operation of operations) {
    for (let place = 0; place < 12; place += 1) {
      const changed = structuredClone(operation)
      add(changed, place)
      const batch = { operations: [changed] }
      expect([isRead(batch), isDescribed(batch)]).toEqual([false, false])
    }
  }
})

/** Every object in a value whose fields are known ones. */
function objectsOf(value: unknown): Record<string, unknown>[] {
  if (typeof value !== 'object' || value === null) return []
  const inner = Object.entries(value).flatMap(([name, one]) => (name === 'headers' ? [] : objectsOf(one)))
  return Array.isArray(value) ? inner : [value as Record<string, unknown>, ...inner]
}

function change(value: object, place: number, to: unknown): void {
  const fields = objectsOf(value).flatMap((object) => Object.keys(object).map((name) => ({ object, name })))
  const chosen = fields[place % fields.length]
  if (chosen !== undefined) chosen.object[chosen.name] = to
}

function add(value: object, place: number): void {
  const objects = objectsOf(value)
  const object = objects[place % objects.length]
  if (object !== undefined) object['unheardOf'] = 1
}
