import { z } from 'zod'
import { actOnDeadLetters, type DeadLetterAct, type DeadLetterSelection } from '../../operators/act-on-dead-letters.ts'
import { nameOfMessage, readMessageName } from '../../operators/message-name.ts'
import { deadLetterPage, operatorActPage } from '../../operators/read-dead-letters.ts'
import { ask, checkWholeDatabase, sourceOf } from '../operated.ts'
import { type Call, type Route, readBody, readQuery, shown } from '../route.ts'
import { filterText, sourceName } from './messages.ts'
import { ActedOnDeadLettersView, DeadLetterPageView, OperatorActPageView } from './operated-views.ts'
import { reasonText } from './schemas.ts'
import { cursor, pageLimit } from './transactions.ts'

const traits = {
  destination: filterText.describe('A destination, or `nats`.'),
  topic: filterText.describe('Subject or path; `*` stands for any text.'),
  key: filterText.describe('Ordering key.'),
  gid: filterText.describe('The gid of a commit.'),
}
const after = cursor.describe('The `after` of the answer before.')

const ListQuery = z.strictObject({ source: sourceName, ...traits, after, limit: pageLimit })
const ActsQuery = z.strictObject({ source: sourceName, before: cursor, limit: pageLimit })

const NAMES_MAX = 1000
const LIMIT_MAX = 10_000
const NAMES_SHOWN_MAX = 100
const BODY_BYTES_MAX = 256 * 1024

const ActBody = z
  .strictObject({
    source: sourceName,
    messages: z
      .array(z.string().min(1).max(200))
      .min(1)
      .max(NAMES_MAX)
      .optional()
      .describe('By name: a gid, `gid:number` for one message of it, or `#id`.'),
    filter: z
      .strictObject(traits)
      .refine(
        (filter) => Object.values(filter).some((value) => value !== undefined),
        'it names nothing; `all` means all',
      )
      .optional()
      .describe('All dead letters that fit all that is given.'),
    all: z.literal(true).optional().describe('Every dead letter of the source.'),
    reason: reasonText.describe('Why, for the record.'),
    dryRun: z.boolean().default(false).describe('Only say what would be done.'),
    after,
    limit: z.int().min(1).max(LIMIT_MAX).default(LIMIT_MAX).describe('At most so many in this request.'),
  })
  .refine(
    ({ messages, filter, all }) => [messages, filter, all].filter((chosen) => chosen !== undefined).length === 1,
    'give one of messages, filter and all',
  )
  .meta({ id: 'DeadLetterAct' })

/** Dead letters as operators look at them and decide about them. */
export const deadLetterRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/dead-letters',
    summary: 'Lists dead letters, oldest first',
    tag: 'messages',
    scope: 'read',
    query: ListQuery,
    bodyBytesMax: 0,
    answers: { 200: { description: 'A page of dead letters.', schema: DeadLetterPageView } },
    handle: async (call, context) => {
      checkWholeDatabase(call.caller)
      const { source, after: afterId, limit, ...given } = readQuery(ListQuery, call)
      const from = sourceOf(source, context)
      const page = await ask(from, context, () => deadLetterPage(from.pool, given, afterId, limit))
      return shown({ source: from.source, ...page })
    },
  },
  actRoute('requeue', 'Puts dead letters back: due now, in their place in the order of their key'),
  actRoute('discard', 'Gives dead letters up, which lets the messages behind them pass'),
  {
    method: 'GET',
    path: '/v1/acts',
    summary: 'What operators did to dead letters, newest first',
    tag: 'messages',
    scope: 'read',
    query: ActsQuery,
    bodyBytesMax: 0,
    answers: { 200: { description: 'A page of acts, of commands and of the API.', schema: OperatorActPageView } },
    handle: async (call, context) => {
      checkWholeDatabase(call.caller)
      const { source, before, limit } = readQuery(ActsQuery, call)
      const from = sourceOf(source, context)
      const page = await ask(from, context, () => operatorActPage(from.pool, before, limit))
      return shown({ source: from.source, ...page })
    },
  },
]

function actRoute(act: DeadLetterAct, summary: string): Route {
  return {
    method: 'POST',
    path: `/v1/dead-letters/${act}`,
    summary,
    tag: 'messages',
    scope: 'admin',
    body: ActBody,
    bodyBytesMax: BODY_BYTES_MAX,
    answers: { 200: { description: 'What was done, in batches of 1000.', schema: ActedOnDeadLettersView } },
    handle: async (call, context) => {
      checkWholeDatabase(call.caller)
      const { selection, source, reason, dryRun, after: afterId, limit } = readAct(call)
      const from = sourceOf(source, context)
      const options = { actor: call.caller.actor, reason, dryRun, after: afterId, limit }
      const acted = await ask(from, context, () => actOnDeadLetters(from.pool, act, selection, options))
      return shown({
        source: from.source,
        act,
        dryRun,
        count: acted.done.length,
        messages: acted.done.slice(0, NAMES_SHOWN_MAX).map(nameOfMessage),
        after: acted.after,
      })
    },
  }
}

function readAct(call: Call) {
  const { messages, filter = {}, all: _, ...rest } = readBody(ActBody, call)
  const selection: DeadLetterSelection =
    messages === undefined ? { traits: filter } : { names: messages.map(readMessageName) }
  return { ...rest, selection }
}
