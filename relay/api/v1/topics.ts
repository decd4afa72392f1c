import { isTopicName, LIMITS, PostcommitError, type Target } from 'postcommit/protocol'
import { z } from 'zod'
import { parseStoredTarget } from '../../coordinator/stored/stored-target.ts'
import { deleteTopic } from '../../store/topic/delete-topic.ts'
import { selectTopics, type Topic } from '../../store/topic/select-topics.ts'
import { subscribe } from '../../store/topic/subscribe.ts'
import { unsubscribe } from '../../store/topic/unsubscribe.ts'
import { InvalidFields } from '../problem.ts'
import { type ApiContext, type Call, type Route, readBody, readQuery, reply, SMALL_BODY_BYTES } from '../route.ts'
import { reasonText } from './schemas.ts'
import { cursor, pageLimit } from './transactions.ts'
import { TopicPage, TopicView } from './views.ts'

const ListQuery = z.strictObject({ before: cursor, limit: pageLimit })
const target = z
  .string()
  .min(1)
  .max(LIMITS.urlCharacters)
  .regex(/^[\x21-\x7e]+$/)
  .describe('A configured destination with its path (`stock/deduct`), `nats:subject`, or an address.')
const SubscribeBody = z.strictObject({ target, remark: reasonText.optional() })
const UnsubscribeBody = z.strictObject({ target })
const DeleteQuery = z.strictObject({
  version: z
    .string()
    .regex(/^\d{1,18}$/)
    .optional()
    .describe('Delete it only if it is still at this version.'),
})

const ONE: Route['answers'] = { 200: { description: 'The topic as it is now.', schema: TopicView } }

/** Names for several targets. What a topic stands for is read when a branch runs. */
export const topicRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/topics',
    summary: 'Lists topics with their targets, newest first',
    tag: 'topics',
    scope: 'read',
    query: ListQuery,
    bodyBytesMax: 0,
    answers: { 200: { description: 'A page of topics.', schema: TopicPage } },
    handle: async (call, { pool }) => {
      const { before, limit } = readQuery(ListQuery, call)
      const filter = { limit: limit + 1, ...(before !== undefined && { before }) }
      const found = await selectTopics(pool, call.caller.tenant, filter)
      const topics = found.slice(0, limit)
      return reply({ topics: topics.map(view), before: found.length > limit ? (topics.at(-1)?.id ?? null) : null })
    },
  },
  {
    method: 'GET',
    path: '/v1/topics/{topic}',
    summary: 'One topic',
    tag: 'topics',
    scope: 'read',
    bodyBytesMax: 0,
    answers: ONE,
    handle: async (call, context) => reply(view(await find(nameOf(call), call, context))),
  },
  {
    method: 'POST',
    path: '/v1/topics/{topic}:subscribe',
    summary: 'Adds a target; the topic is made if it is not there',
    tag: 'topics',
    scope: 'admin',
    body: SubscribeBody,
    bodyBytesMax: SMALL_BODY_BYTES,
    answers: ONE,
    handle: async (call, context) => {
      const topic = nameOf(call)
      const { target: to, remark = '' } = readBody(SubscribeBody, call)
      checkTarget(to, context)
      await subscribe(context.pool, { tenant: call.caller.tenant, topic, target: to, remark })
      return reply(view(await find(topic, call, context)))
    },
  },
  {
    method: 'POST',
    path: '/v1/topics/{topic}:unsubscribe',
    summary: 'Removes a target; the topic stays',
    tag: 'topics',
    scope: 'admin',
    body: UnsubscribeBody,
    bodyBytesMax: SMALL_BODY_BYTES,
    answers: ONE,
    handle: async (call, context) => {
      const topic = nameOf(call)
      const { kind } = await unsubscribe(
        context.pool,
        call.caller.tenant,
        topic,
        readBody(UnsubscribeBody, call).target,
      )
      if (kind !== 'removed') throw unknownTopic(topic)
      return reply(view(await find(topic, call, context)))
    },
  },
  {
    method: 'DELETE',
    path: '/v1/topics/{topic}',
    summary: 'Removes a topic with its subscriptions',
    tag: 'topics',
    scope: 'admin',
    query: DeleteQuery,
    bodyBytesMax: 0,
    answers: { 204: { description: 'It is gone.' } },
    handle: async (call, context) => {
      const topic = nameOf(call)
      const { version } = readQuery(DeleteQuery, call)
      if (!(await deleteTopic(context.pool, call.caller.tenant, topic, version))) {
        await find(topic, call, context)
        throw new PostcommitError('POSTCOMMIT_TOPIC_CHANGED', { topic, version: version ?? '' })
      }
      return { status: 204, json: '' }
    },
  },
]

/** Who subscribes is called like any branch, so the target is held to the same rules. */
function checkTarget(text: string, { targets }: ApiContext): void {
  let parsed: Target
  try {
    parsed = parseStoredTarget(text)
  } catch (error) {
    throw new InvalidFields([{ path: 'target', message: error instanceof Error ? error.message : String(error) }])
  }
  const problem = targets.problemOfTarget(parsed)
  if (problem !== undefined) throw new PostcommitError('POSTCOMMIT_TARGET_NOT_ALLOWED', { ...problem })
}

async function find(name: string, { caller }: Call, { pool }: ApiContext): Promise<Topic> {
  const [topic] = await selectTopics(pool, caller.tenant, { names: [name], limit: 1 })
  if (topic === undefined) throw unknownTopic(name)
  return topic
}

function nameOf({ params }: Call): string {
  const name = params['topic']
  if (isTopicName(name)) return name
  throw new InvalidFields([{ path: 'topic', message: 'names of topics are 1 to 128 of A-Z a-z 0-9 _ . and -' }])
}

function unknownTopic(topic: string): PostcommitError<'POSTCOMMIT_UNKNOWN_TOPIC'> {
  return new PostcommitError('POSTCOMMIT_UNKNOWN_TOPIC', { topic })
}

function view({ id: _, ...topic }: Topic) {
  return topic
}
