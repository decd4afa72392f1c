import { PostcommitError } from 'postcommit/protocol'
import { z } from 'zod'
import { findMessages } from '../../operators/find-messages.ts'
import { readMessageName } from '../../operators/message-name.ts'
import { messagePage } from '../../operators/read-messages.ts'
import type { MessageFilter } from '../../store/message/list-messages.ts'
import { MessageState } from '../../store/message/message-state.ts'
import { selectGidOfDelivery } from '../../store/message/select-gid-of-delivery.ts'
import { forbidden } from '../carry-out.ts'
import { ask, checkWholeDatabase, sourceOf } from '../operated.ts'
import { type ApiContext, type Call, type Route, readQuery, shown } from '../route.ts'
import { MessagePageView, MessageStoryView } from './operated-views.ts'
import { cursor, pageLimit } from './transactions.ts'

const STATES = Object.values(MessageState)
const FILTER_CHARACTERS = 1000

/** Texts to compare with: NUL is in none that PostgreSQL holds, and it refuses to compare with one. */
export const filterText = z
  .string()
  .min(1)
  .max(FILTER_CHARACTERS)
  .regex(/^[^\0\p{Surrogate}]*$/u)
  .optional()
export const sourceName = filterText.describe('Which source database; not needed if the relay has only one.')

const ListQuery = z.strictObject({
  source: sourceName,
  state: z
    .string()
    .regex(new RegExp(`^(${STATES.join('|')})(,(${STATES.join('|')}))*$`))
    .optional()
    .describe(`${STATES.join(', ')}; several with commas.`),
  destination: filterText.describe('A destination, or `nats`.'),
  topic: filterText.describe('Subject or path; `*` stands for any text.'),
  key: filterText.describe('Ordering key.'),
  gid: filterText.describe('What the gid begins with.'),
  since: z.iso.datetime({ offset: true }).optional().describe('Committed at or after.'),
  until: z.iso.datetime({ offset: true }).optional().describe('Committed before.'),
  before: cursor,
  limit: pageLimit,
})

const StoryQuery = z.strictObject({
  source: sourceName,
  payload: z
    .enum(['true', 'false'])
    .optional()
    .describe('Show payloads and headers too; this needs the scope `admin` as well.'),
})

/** Messages as operators look at them. */
export const messageRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/messages',
    summary: 'Lists messages, newest first',
    tag: 'messages',
    scope: 'read',
    query: ListQuery,
    bodyBytesMax: 0,
    answers: { 200: { description: 'A page of messages, without what they carry.', schema: MessagePageView } },
    handle: async (call, context) => {
      checkWholeDatabase(call.caller)
      const { source, limit, ...given } = readQuery(ListQuery, call)
      const from = sourceOf(source, context)
      const page = await ask(from, context, () => messagePage(from.pool, filterOf(given), limit))
      return shown({ source: from.source, ...page })
    },
  },
  {
    method: 'GET',
    path: '/v1/messages/{gid}',
    summary: 'The messages of a commit, each with the reason why it is where it is and its attempts',
    tag: 'messages',
    scope: 'read',
    query: StoryQuery,
    bodyBytesMax: 0,
    answers: {
      200: {
        description: 'What is known, by source database. `{gid}:{number}` names one message.',
        schema: MessageStoryView,
      },
    },
    handle: async (call, context) => {
      checkWholeDatabase(call.caller)
      const { source, payload } = readQuery(StoryQuery, call)
      if (payload === 'true' && !call.caller.scopes.has('admin')) throw forbidden('admin')
      return shown(await readStory(call, context, source, payload === 'true'))
    },
  },
]

async function readStory(call: Call, context: ApiContext, source: string | undefined, withPayload: boolean) {
  const text = call.params['gid'] ?? ''
  const name = readMessageName(text)
  const { sources } = context.operated
  const asked = source === undefined ? sources : [sourceOf(source, context)]
  const found = await Promise.all(
    asked.map((from) =>
      ask(from, context, async () => {
        const { gid, branch } = 'id' in name ? ((await selectGidOfDelivery(from.pool, name.id)) ?? NONE) : name
        const { committedAt, messages } = await findMessages(from, gid)
        return {
          gid,
          source: from.source,
          committedAt: committedAt ?? null,
          messages: messages
            .filter((message) => branch === undefined || message.branch === branch)
            .map(({ payload, headers, ...message }) => (withPayload ? { ...message, payload, headers } : message)),
        }
      }),
    ),
  )
  const known = found.filter(({ committedAt, messages }) => committedAt !== null || messages.length > 0)
  const [first] = known
  if (first === undefined) throw new PostcommitError('POSTCOMMIT_MESSAGE_NOT_FOUND', { message: text })
  return { gid: first.gid, sources: known.map(({ gid: _, ...of }) => of) }
}

/** No gid is empty. */
const NONE = { gid: '', branch: undefined }

function filterOf(given: Omit<z.output<typeof ListQuery>, 'source' | 'limit'>): MessageFilter {
  const { state, destination, topic, key, gid, since, until, before } = given
  const states = STATES.filter((one) => state?.split(',').includes(one))
  return {
    ...(state !== undefined && { states }),
    ...(destination !== undefined && { destination }),
    ...(topic !== undefined && { target: topic }),
    ...(key !== undefined && { key }),
    ...(gid !== undefined && { gidPrefix: gid }),
    ...(since !== undefined && { since: new Date(since) }),
    ...(until !== undefined && { until: new Date(until) }),
    ...(before !== undefined && { before }),
  }
}
