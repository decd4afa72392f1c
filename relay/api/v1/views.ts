import { z } from 'zod'
import { Gid, Status } from './schemas.ts'

const time = z.iso.datetime().nullable()
const text = z.string().nullable()

const listed = {
  gid: Gid,
  tenant: z.string(),
  mode: z.string(),
  status: Status,
  inDoubt: z.boolean().describe('A prepared message that is past its check time and still undecided.'),
  asked: z.int().describe('Questions that were answered without a verdict.'),
  lastError: text.describe('What went wrong last.'),
  unreachableSince: time.describe('The service has not answered its back-query since then.'),
  reason: text.describe('Why it was given up.'),
  pausedReason: text,
  relay: text.describe('Which relay has it in hand.'),
  dueAt: time.describe('When it is looked at next; null: it has ended, or is paused.'),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
  finishedAt: time,
}

const ListedTransaction = z.object(listed).meta({ id: 'ListedTransaction' })

export const TransactionPage = z
  .object({
    transactions: z.array(ListedTransaction),
    before: text.describe('The `before` of the next page; null: this was the last.'),
  })
  .meta({ id: 'TransactionPage' })

const BranchView = z
  .object({
    branch: z.string(),
    op: z.string(),
    status: z.enum(['prepared', 'succeed', 'failed']),
    target: z.string(),
    after: z.array(z.string()).nullable(),
    recovery: z.enum(['undo', 'pivot', 'forward']).nullable(),
    calls: z.int().describe('Calls begun.'),
    attempts: z.int().describe('Calls that ended without a decision.'),
    lastStatus: z.int().nullable(),
    lastError: text,
    durationMs: z.int().nullable(),
    payloadBytes: z.int(),
    createdAt: z.iso.datetime(),
    finishedAt: time,
  })
  .meta({ id: 'BranchView' })

const AttemptView = z
  .object({
    branch: text.describe('Null: the transaction itself.'),
    op: text,
    at: z.iso.datetime(),
    event: z.string(),
    attempt: z.int(),
    durationMs: z.int().nullable(),
    status: z.int().nullable(),
    detail: text.describe('What went wrong; for an act of a person, their reason.'),
    actor: z.string().describe('Which relay, or which person.'),
  })
  .meta({ id: 'AttemptView' })

export const TransactionStory = z
  .object({
    ...listed,
    runBy: z.enum(['relay', 'client']),
    key: text,
    backQuery: z.object({ destination: z.string(), target: z.string() }).nullable(),
    deadline: time,
    result: text,
    branches: z.array(BranchView),
    attempts: z.array(AttemptView).describe('Oldest first, at most 1000.'),
  })
  .meta({ id: 'TransactionStory' })

export const Acted = z
  .object({ gid: Gid, status: Status, changed: z.boolean().describe('False: it was so already.') })
  .meta({ id: 'Acted' })

export const TopicView = z
  .object({
    name: z.string(),
    version: z.string().describe('Raised by every change.'),
    targets: z.array(z.object({ target: z.string(), remark: z.string() })),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Topic' })

export const TopicPage = z.object({ topics: z.array(TopicView), before: text }).meta({ id: 'TopicPage' })
