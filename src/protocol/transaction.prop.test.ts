import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Gid } from './gid.ts'
import { readDefinition } from './read-definition.ts'
import { type OperationAnswer, parseAnswers } from './transaction-answer.ts'
import { type BranchDefinition, digestDefinition, type TransactionDefinition } from './transaction-definition.ts'
import { parseBatch, type TransactionOperation } from './transaction-request.ts'
import { answerBackQuery, type BackQuery, parseVerdict, readBackQueryQuestion, Verdict } from './verdict.ts'

const gid = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/) as fc.Arbitrary<Gid>
const callTarget = fc.oneof(
  fc.record({ destination: fc.constantFrom('stock', 'mail-2'), path: fc.constantFrom('/a', '/a/b?c=d', '/') }),
  fc.record({ url: fc.constantFrom('http://stock/a', 'https://127.0.0.1:8080/x?y=%20') }),
)
const target = fc.oneof(callTarget, fc.record({ subject: fc.constantFrom('order.placed', 'a') }))
const actionTarget = fc.oneof(target, fc.record({ topic: fc.constantFrom('order.placed', 'a_1') }))
const text = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((value) => !/[\0\p{Surrogate}]/u.test(value))
const payload = fc.oneof(
  fc.constant({}),
  text.map((value) => ({ payload: JSON.stringify(value) })),
  fc.uint8Array({ maxLength: 30 }).map((bytes) => ({ payloadBase64: Buffer.from(bytes).toString('base64') })),
)
const rest = fc.record(
  {
    headers: fc.constantFrom({}, { 'x-a': '1', 'x-b': '2' }),
    key: fc.constantFrom('k', 'café'),
    delayMs: fc.nat(10_000),
  },
  { requiredKeys: [] },
)
const ms = fc.integer({ min: 1, max: 100_000 })
const options = fc.record(
  {
    timeoutMs: ms,
    requestTimeoutMs: ms,
    retry: fc.record({ baseMs: fc.integer({ min: 1, max: 9 }), capMs: ms.map((cap) => cap + 9) }),
    retryLimit: fc.nat(100),
    concurrent: fc.boolean(),
  },
  { requiredKeys: [] },
)
const backQuery = fc.record(
  { target, checkAfterMs: ms, hint: fc.constantFrom('735', 'x y') },
  { requiredKeys: ['target'] },
)

/** Branches with compensations and dependencies on earlier ones: sound in every mode they are made for. */
function branches(ops: fc.Arbitrary<BranchDefinition['ops']>, most: number): fc.Arbitrary<BranchDefinition[]> {
  return fc
    .array(fc.tuple(ops, payload, rest, fc.option(fc.array(fc.nat()), { nil: undefined })), { maxLength: most })
    .map((drawn) =>
      drawn.map(([given, content, others, after], index) => ({
        branch: `step.${index}`,
        ops: given,
        ...content,
        ...others,
        ...(after === undefined || index === 0 ? {} : { after: after.map((n) => `step.${n % index}`) }),
      })),
    )
}
const msg = fc.record(
  {
    mode: fc.constant('msg' as const),
    name: fc.constant('orders'),
    branches: branches(fc.record({ action: actionTarget }), 4).filter((list) => list.length > 0),
    backQuery,
    options,
  },
  { requiredKeys: ['mode', 'branches', 'backQuery'] },
)
const saga = fc.record(
  {
    mode: fc.constant('saga' as const),
    name: fc.constant('trip'),
    branches: branches(fc.record({ action: target, compensate: target }), 4).filter((list) => list.length > 0),
    options,
  },
  { requiredKeys: ['mode', 'branches'] },
)
const definition: fc.Arbitrary<TransactionDefinition> = fc.oneof(msg, saga)
const operation: fc.Arbitrary<TransactionOperation> = fc.oneof(
  fc.record({ do: fc.constant('prepare' as const), gid, transaction: msg }),
  fc.record(
    { do: fc.constant('submit' as const), gid, transaction: definition, waitMs: fc.nat(60_000) },
    { requiredKeys: ['do', 'gid'] },
  ),
  fc.record(
    { do: fc.constant('abort' as const), gid, reason: fc.constant('sold out') },
    { requiredKeys: ['do', 'gid'] },
  ),
  fc.record({
    do: fc.constant('registerBranch' as const),
    gid,
    mode: fc.constant('tcc' as const),
    branch: fc.record({ branch: fc.constant('01'), ops: fc.record({ confirm: target, cancel: target }) }),
  }),
  fc.record({ do: fc.constant('query' as const), gid, waitMs: fc.nat(60_000) }, { requiredKeys: ['do', 'gid'] }),
)

/** Any JSON value, with one place in it changed for another. */
const damaged = <T>(sound: fc.Arbitrary<T>) =>
  fc.tuple(sound, fc.nat(), fc.jsonValue()).map(([value, place, other]) => {
    const places: (() => void)[] = []
    const copy = JSON.parse(JSON.stringify(value)) as unknown
    const visit = (node: unknown): void => {
      if (typeof node !== 'object' || node === null) return
      const fields = node as Record<string, unknown>
      for (const name of Object.keys(fields)) {
        places.push(
          () => {
            fields[name] = other
          },
          () => {
            delete fields[name]
          },
        )
        visit(fields[name])
      }
      places.push(() => {
        fields['unheard'] = other
      })
    }
    visit(copy)
    places[place % places.length]?.()
    // JSON has no -0.
    return JSON.parse(JSON.stringify(copy)) as unknown
  })

/** What a batch reads as; undefined if it is refused by the code for that. */
function parsed(batch: string): readonly TransactionOperation[] | undefined {
  try {
    return parseBatch(batch)
  } catch (error) {
    expect(error).toMatchObject({ code: 'POSTCOMMIT_INVALID_REQUEST' })
    return undefined
  }
}

describe('operations', () => {
  test('what is written is read as it was', () => {
    fc.assert(
      fc.property(fc.array(operation, { minLength: 1, maxLength: 5 }), (operations) => {
        expect(parseBatch(JSON.stringify({ operations }))).toEqual(JSON.parse(JSON.stringify(operations)))
      }),
    )
  })

  test('what is damaged is refused with a code, or reads as what was sent', () => {
    let refused = 0
    fc.assert(
      fc.property(damaged(operation), (value) => {
        const read = parsed(JSON.stringify({ operations: [value] }))
        if (read === undefined) refused += 1
        // Nothing of what was sent is dropped in silence, and nothing is made of it.
        else expect(read).toEqual([value])
      }),
      { numRuns: 2000 },
    )
    expect(refused).toBeGreaterThan(1000)
  })

  test('garbage is refused', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string({ unit: 'binary' })), (text) => {
        expect(() => parseBatch(text)).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_REQUEST' }))
      }),
    )
  })
})

describe('digests', () => {
  test('a definition has one digest however its fields and headers are ordered, and the hint has no part in it', () => {
    fc.assert(
      fc.property(msg, fc.constantFrom('1', '2'), (value, hint) => {
        const turned = Object.fromEntries(Object.entries(value).reverse()) as unknown as TransactionDefinition
        const asked = { ...turned, backQuery: { ...value.backQuery, hint } }
        expect(digestDefinition(readDefinition(asked, ''))).toBe(digestDefinition(readDefinition(value, '')))
      }),
    )
  })

  test('another definition has another digest', () => {
    fc.assert(
      fc.property(definition, definition, (a, b) => {
        const same = JSON.stringify(withoutHint(a)) === JSON.stringify(withoutHint(b))
        const digests = [a, b].map((value) => digestDefinition(readDefinition(value, '')))
        if (!same) expect(digests[0]).not.toBe(digests[1])
      }),
    )
  })
})

function withoutHint(value: TransactionDefinition): TransactionDefinition {
  const read = readDefinition(value, '')
  if (read.backQuery === undefined) return read
  const { hint: _, ...asked } = read.backQuery
  return { ...read, backQuery: asked }
}

const answer: fc.Arbitrary<OperationAnswer> = gid.chain((id) =>
  fc.constantFrom<OperationAnswer>(
    { outcome: 'done', gid: id, status: 'succeed' },
    { outcome: 'pending', gid: id, status: 'prepared' },
    { outcome: 'pending', gid: id, status: 'submitted' },
    { outcome: 'pending', gid: id, status: 'aborting' },
    { outcome: 'failed', gid: id, status: 'failed' },
    { outcome: 'failed', gid: id, status: 'failed', reason: 'sold out' },
    { outcome: 'refused', gid: id, code: 'POSTCOMMIT_X', message: 'no', retryable: false },
    { outcome: 'refused', gid: id, code: 'POSTCOMMIT_X', message: 'no', retryable: true, status: 'aborting' },
  ),
)

describe('answers', () => {
  const body = (results: readonly unknown[]) => JSON.stringify({ results })
  const gidsOf = (answers: readonly OperationAnswer[]) => answers.map((one) => one.gid)

  test('what is written is read as it was', () => {
    fc.assert(
      fc.property(fc.array(answer, { maxLength: 5 }), (answers) => {
        expect(parseAnswers(body(answers), gidsOf(answers))).toEqual(answers)
      }),
    )
  })

  test('an answer that is missing, too many or about another transaction is no answer', () => {
    fc.assert(
      fc.property(fc.array(answer, { minLength: 2, maxLength: 5 }), (answers) => {
        expect(parseAnswers(body(answers.slice(1)), gidsOf(answers))).toBeUndefined()
        expect(parseAnswers(body(answers), gidsOf(answers).slice(1))).toBeUndefined()
        const swapped = answers.toReversed()
        if (gidsOf(swapped).join() !== gidsOf(answers).join()) {
          expect(parseAnswers(body(swapped), gidsOf(answers))).toBeUndefined()
        }
      }),
    )
  })

  test('no status passes for another outcome', () => {
    for (const outcome of ['done', 'pending', 'failed']) {
      for (const status of ['prepared', 'submitted', 'aborting', 'succeed', 'failed']) {
        const read = parseAnswers(body([{ outcome, gid: 'g', status }]), ['g' as Gid])
        const fits = outcome === (status === 'succeed' ? 'done' : status === 'failed' ? 'failed' : 'pending')
        expect(read !== undefined).toBe(fits)
      }
    }
  })

  test('garbage is no answer', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string({ unit: 'binary' })), (text) => {
        expect(parseAnswers(text, ['g' as Gid])).toBeUndefined()
      }),
    )
  })
})

describe('verdicts', () => {
  const question: fc.Arbitrary<BackQuery> = fc.record(
    { gid, nonce: fc.stringMatching(/^[A-Za-z0-9_-]{16,64}$/), hint: fc.constant('735') },
    { requiredKeys: ['gid', 'nonce'] },
  )
  const outcome = fc.constantFrom(...Object.values(Verdict))

  test('a question is read as it was asked', () => {
    fc.assert(
      fc.property(question, (asked) => {
        expect(readBackQueryQuestion(JSON.stringify(asked))).toEqual(asked)
      }),
    )
  })

  test('an answer is a verdict for its question and for no other', () => {
    fc.assert(
      fc.property(question, question, outcome, (asked, other, decided) => {
        expect(parseVerdict(answerBackQuery(asked, decided), asked)).toBe(decided)
        expect(parseVerdict(answerBackQuery({ ...asked, nonce: other.nonce }, decided), asked)).toBe(
          other.nonce === asked.nonce ? decided : undefined,
        )
        expect(parseVerdict(answerBackQuery({ ...asked, gid: other.gid }, decided), asked)).toBe(
          other.gid === asked.gid ? decided : undefined,
        )
      }),
    )
  })

  test('whatever is damaged is no verdict', () => {
    const sound = fc.record({ gid: fc.constant('g'), nonce: fc.constant('n'.repeat(16)), outcome })
    const asked = { gid: 'g' as Gid, nonce: 'n'.repeat(16) }
    fc.assert(
      fc.property(damaged(sound), (value) => {
        const verdict = parseVerdict(JSON.stringify(value), asked)
        // The damage may have hit the outcome with a word that is one.
        if (verdict !== undefined) expect(value).toEqual({ ...asked, outcome: verdict })
      }),
      { numRuns: 2000 },
    )
  })

  test.each([
    '',
    'SUCCESS',
    '{"dtm_result":"SUCCESS"}',
    '<html>',
    'null',
    '[]',
    '"committed"',
    '{"outcome":"committed"}',
    `{"gid":"g","nonce":"${'n'.repeat(16)}","outcome":"COMMITTED"}`,
    `{"gid":"g","nonce":"${'n'.repeat(16)}","outcome":"committed","error":"no database"}`,
    `{"gid":"g","nonce":"${'n'.repeat(16)}","outcome":"committed"} and more`,
  ])('%s is no verdict', (text) => {
    expect(parseVerdict(text, { gid: 'g' as Gid, nonce: 'n'.repeat(16) })).toBeUndefined()
  })
})
