import { PostcommitError } from 'postcommit/protocol'
import { z } from 'zod'
import type { SourceEvent } from '../../operators/watch-source.ts'
import { checkWholeDatabase } from '../operated.ts'
import { type Route, readQuery } from '../route.ts'

const KINDS = [
  'published',
  'confirmed',
  'failed',
  'unavailable',
  'dead',
  'requeued',
  'discarded',
  'standstill',
  'standstill-over',
] as const satisfies readonly SourceEvent['kind'][]

const EventsQuery = z.strictObject({
  kinds: z
    .string()
    .regex(new RegExp(`^(${KINDS.join('|')})(,(${KINDS.join('|')}))*$`))
    .optional()
    .describe(`Only these: ${KINDS.join(', ')}; several with commas. \`gap\` and \`end\` are always told.`),
})

/** What happens, as it happens. */
export const eventsRoute: Route = {
  method: 'GET',
  path: '/v1/events',
  summary: 'Tells what happens to messages as Server-Sent Events',
  tag: 'messages',
  scope: 'read',
  query: EventsQuery,
  bodyBytesMax: 0,
  isEndless: true,
  answers: {
    200: {
      description:
        'text/event-stream. Each event has an id; a client that comes again sends it as last-event-id. `gap` says that events may be missing, `end` that the client is to come again.',
    },
  },
  handle: async (call, { operated, isDraining }) => {
    checkWholeDatabase(call.caller)
    const { kinds } = readQuery(EventsQuery, call)
    if (isDraining()) throw new PostcommitError('POSTCOMMIT_RELAY_UNAVAILABLE', { reason: 'it is being stopped' })
    const wanted = kinds === undefined ? undefined : new Set(kinds.split(','))
    return { status: 200, events: operated.events.listen(call.lastEventId, wanted) }
  },
}
