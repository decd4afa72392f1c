import { expect, test } from 'vitest'
import { explainTransaction } from './explain-transaction.ts'
import type { ShownTransaction } from './read-transactions.ts'

const createdAt = new Date(0)
const story = (given: Partial<ShownTransaction>): ShownTransaction => ({
  gid: 'g',
  tenant: '',
  mode: 'msg',
  status: 'submitted',
  inDoubt: false,
  asked: 0,
  unreachableSince: null,
  reason: null,
  pausedReason: null,
  relay: null,
  dueAt: null,
  createdAt,
  updatedAt: createdAt,
  finishedAt: null,
  runBy: 'relay',
  key: null,
  backQuery: { destination: 'orders', target: 'orders/back-query' },
  deadline: null,
  lastError: null,
  result: null,
  branches: [],
  attempts: [],
  ...given,
})
const branch: ShownTransaction['branches'][number] = {
  branch: 'pay',
  op: 'action',
  status: 'prepared',
  target: 'bank/pay',
  after: null,
  recovery: null,
  calls: 3,
  attempts: 2,
  lastStatus: 500,
  lastError: 'answered 500',
  durationMs: 5,
  payloadBytes: 2,
  createdAt,
  finishedAt: null,
}

const cases: [Partial<ShownTransaction>, string][] = [
  [
    { status: 'prepared' },
    'Not decided: the service has neither submitted nor aborted it; orders/back-query is asked when its time comes.',
  ],
  [{ status: 'prepared', backQuery: null }, 'Not decided: its initiator has neither submitted it nor given it up.'],
  [
    { status: 'prepared', inDoubt: true, asked: 4, lastError: 'unknown' },
    'In doubt: orders/back-query was asked 4 times and has decided nothing (unknown). If it never will: postcommit transaction resolve g',
  ],
  [
    { status: 'prepared', inDoubt: true, unreachableSince: createdAt, lastError: 'unreachable: ECONNREFUSED' },
    'In doubt: orders/back-query has not answered since 1970-01-01T00:00:00.000Z (ECONNREFUSED); it is asked as soon as it answers. If it never will: postcommit transaction resolve g',
  ],
  [
    { status: 'prepared', inDoubt: true },
    'In doubt: its time has come, and orders/back-query is asked next. If it never will: postcommit transaction resolve g',
  ],
  [{ status: 'submitted' }, 'Going forward.'],
  [
    { status: 'submitted', branches: [branch] },
    'Going forward: action of pay at bank/pay has failed 2 times, last: answered 500.',
  ],
  [{ status: 'aborting', reason: 'no money' }, 'Being undone (no money).'],
  [{ status: 'aborting', pausedReason: 'look at it' }, 'Paused by a person: look at it'],
  [{ status: 'succeed', finishedAt: new Date(1500) }, 'Done 1.5 s after it was submitted.'],
  [
    { status: 'failed', reason: 'no money', finishedAt: new Date(1500) },
    'Given up (no money), 1.5 s after it was submitted',
  ],
]

test.each(cases)('%j', (given, sentence) => {
  expect(explainTransaction(story(given))).toContain(sentence)
})
