import { PostcommitError, parseGid, TransactionMode, TransactionStatus } from 'postcommit/protocol'
import { z } from 'zod'
import { actOnTransaction, RESOLUTIONS, type TransactionAct } from '../../operators/act-on-transaction.ts'
import { transactionPage, transactionStory } from '../../operators/read-transactions.ts'
import type { TransactionFilter } from '../../store/transaction/list-transactions.ts'
import {
  type ApiContext,
  type Call,
  type Reply,
  type Route,
  readBody,
  readQuery,
  reply,
  SMALL_BODY_BYTES,
} from '../route.ts'
import { reasonText } from './schemas.ts'
import { Acted, TransactionPage, TransactionStory } from './views.ts'

const PAGE_MAX = 500

/** Ids of the database, which are the cursors of pages. */
export const cursor = z
  .string()
  .regex(/^\d{1,18}$/)
  .optional()
  .describe('The `before` of the page before.')
export const pageLimit = z.coerce.number().pipe(z.int().min(1).max(PAGE_MAX)).default(50)

const ListQuery = z.strictObject({
  status: z.enum(Object.values(TransactionStatus)).optional(),
  mode: z.enum(Object.values(TransactionMode)).optional(),
  createdFrom: z.iso.datetime({ offset: true }).optional(),
  createdUntil: z.iso.datetime({ offset: true }).optional(),
  paused: z.enum(['true', 'false']).optional(),
  before: cursor,
  limit: pageLimit,
})

const InDoubtQuery = z.strictObject({ before: cursor, limit: pageLimit })
const ActBody = z.strictObject({ reason: reasonText.describe('Why, for the story of the transaction.') })
const ResolveBody = z.strictObject({
  outcome: z
    .enum(RESOLUTIONS)
    .describe(
      '`committed`, `aborted`: what the back-query would have said; an aborted saga is undone. `succeed`, `failed`: it ends so, and nothing is called any more.',
    ),
  ...ActBody.shape,
})

const PAGE: Route['answers'] = { 200: { description: 'Newest first.', schema: TransactionPage } }

/** What operators look at and do. */
export const transactionRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/transactions',
    summary: 'Lists transactions, newest first',
    tag: 'transactions',
    scope: 'read',
    query: ListQuery,
    bodyBytesMax: 0,
    answers: PAGE,
    handle: (call, context) => {
      const { limit, ...given } = readQuery(ListQuery, call)
      return page(filterOf(given), limit, call, context)
    },
  },
  {
    method: 'GET',
    path: '/v1/in-doubt',
    summary: 'Prepared messages that are past their check time and still undecided, with the reason',
    tag: 'transactions',
    scope: 'read',
    query: InDoubtQuery,
    bodyBytesMax: 0,
    answers: PAGE,
    handle: (call, context) => {
      const { limit, before } = readQuery(InDoubtQuery, call)
      return page({ inDoubt: true, ...(before !== undefined && { before }) }, limit, call, context)
    },
  },
  {
    method: 'GET',
    path: '/v1/transactions/{gid}',
    summary: 'One transaction, with its branches and what happened to them',
    tag: 'transactions',
    scope: 'read',
    bodyBytesMax: 0,
    answers: { 200: { description: 'The transaction.', schema: TransactionStory } },
    handle: async ({ caller, params }, { pool }) => {
      const gid = parseGid(params['gid'] ?? '')
      const story = await transactionStory(pool, { tenant: caller.tenant, gid })
      if (story === undefined) throw new PostcommitError('POSTCOMMIT_UNKNOWN_TRANSACTION', { gid }, { gid })
      return reply(story)
    },
  },
  actRoute('resolve', 'Decides a transaction whose service can no longer answer', ResolveBody, (call) => {
    const { outcome, reason } = readBody(ResolveBody, call)
    return { what: { resolve: outcome }, reason }
  }),
  actRoute('pause', 'Stops a transaction where it stands, until it is resumed', ActBody, (call) => ({
    what: 'pause',
    ...readBody(ActBody, call),
  })),
  actRoute('resume', 'Lets a paused transaction go on', ActBody, (call) => ({
    what: 'resume',
    ...readBody(ActBody, call),
  })),
  actRoute('retry', 'Makes a transaction due now, instead of when its pause is over', ActBody, (call) => ({
    what: 'retry',
    ...readBody(ActBody, call),
  })),
]

function actRoute(
  verb: string,
  summary: string,
  body: z.ZodType,
  read: (call: Call) => { readonly what: TransactionAct; readonly reason: string },
): Route {
  return {
    method: 'POST',
    path: `/v1/transactions/{gid}:${verb}`,
    summary,
    tag: 'acts',
    scope: 'admin',
    body,
    bodyBytesMax: SMALL_BODY_BYTES,
    answers: { 200: { description: 'How it stands now.', schema: Acted } },
    handle: async (call, { pool }) => {
      const { what, reason } = read(call)
      const { tenant, actor } = call.caller
      const key = { tenant, gid: parseGid(call.params['gid'] ?? '') }
      return reply(await actOnTransaction(pool, key, what, { actor, reason }))
    },
  }
}

async function page(filter: TransactionFilter, limit: number, { caller }: Call, { pool }: ApiContext): Promise<Reply> {
  return reply(await transactionPage(pool, { ...filter, tenant: caller.tenant }, limit))
}

function filterOf(given: Omit<z.output<typeof ListQuery>, 'limit'>): TransactionFilter {
  const { status, mode, createdFrom, createdUntil, paused, before } = given
  return {
    ...(status !== undefined && { statuses: [status] }),
    ...(mode !== undefined && { mode }),
    ...(createdFrom !== undefined && { createdFromMs: Date.parse(createdFrom) }),
    ...(createdUntil !== undefined && { createdUntilMs: Date.parse(createdUntil) }),
    ...(paused !== undefined && { paused: paused === 'true' }),
    ...(before !== undefined && { before }),
  }
}
