import { z } from 'zod'
import { MessageState } from '../../store/message/message-state.ts'

const time = z.iso.datetime()
const text = z.string().nullable()
const count = z.number().nullable()

const named = {
  id: z.string().describe('Its number in the database.'),
  gid: z.string(),
  branch: z.int(),
  destination: z.string(),
  target: z.string().describe('Subject or path.'),
  key: text,
}
const state = z.enum(Object.values(MessageState))

export const MessagePageView = z
  .object({
    source: z.string(),
    messages: z.array(
      z.object({
        ...named,
        state,
        attempts: z.int().describe('Attempts that failed.'),
        lastError: text,
        ageMs: z.number(),
        dueInMs: count.describe('Until it is tried; null: it waits for no time.'),
      }),
    ),
    before: text.describe('The `before` of the next page; null: this was the last.'),
  })
  .meta({ id: 'MessagePage' })

export const MessageStoryView = z
  .object({
    gid: z.string(),
    sources: z.array(
      z.object({
        source: z.string(),
        committedAt: time.nullable().describe('Known of a gid that the caller chose, also after retention.'),
        messages: z.array(
          z.object({
            ...named,
            state,
            explanation: z.string().describe('Where it is and, if it is not delivered, why not.'),
            attempts: z.int(),
            createdAt: time,
            ageMs: z.number(),
            dueInMs: count.describe('Until the next attempt, for a pending message.'),
            history: z
              .array(
                z.object({
                  at: time,
                  event: z.string(),
                  attempt: z.int(),
                  durationMs: z.int().nullable(),
                  status: z.int().nullable(),
                  detail: text,
                  actor: z.string(),
                }),
              )
              .describe('Oldest first; the last 100 of the gid.'),
            payload: z.string().optional(),
            headers: z.string().nullable().optional(),
          }),
        ),
      }),
    ),
  })
  .meta({ id: 'MessageStory' })

export const DeadLetterPageView = z
  .object({
    source: z.string(),
    deadLetters: z.array(
      z.object({
        ...named,
        attempts: z.int(),
        lastError: text,
        lastStatus: z.int().nullable(),
        createdAt: time,
        holds: z.int().describe('Messages of its key that wait behind it; counted to 1000.'),
      }),
    ),
    after: text.describe('The `after` of the next page; null: this was the last.'),
  })
  .meta({ id: 'DeadLetterPage' })

export const ActedOnDeadLettersView = z
  .object({
    source: z.string(),
    act: z.enum(['requeue', 'discard']),
    dryRun: z.boolean(),
    count: z.int().describe('How many messages were changed or, in a dry run, would be.'),
    messages: z.array(z.string()).describe('The first 100 of them by name.'),
    after: text.describe('The limit was reached: the same request with this `after` goes on. Null: these were all.'),
  })
  .meta({ id: 'ActedOnDeadLetters' })

export const OperatorActPageView = z
  .object({
    source: z.string(),
    acts: z.array(
      z.object({
        id: z.string(),
        at: time,
        act: z.enum(['requeue', 'discard']),
        actor: z.string().describe('The name of the key, or of the operator of the command.'),
        reason: z.string(),
        selection: z.record(z.string(), z.unknown()).describe('Which messages were asked for.'),
        messages: z.int().describe('How many were changed.'),
      }),
    ),
    before: text.describe('The `before` of the next page; null: this was the last.'),
  })
  .meta({ id: 'OperatorActPage' })

const StandstillView = z
  .object({
    scope: z.string().describe('`relay`, `nats`, `destination stock`, `subject order.placed` or `stream ORDERS`.'),
    cause: z.string(),
    reason: z.string().describe('A sentence for an operator.'),
    since: time.nullable(),
    forMs: count,
    nextProbeInMs: count,
    relays: z.array(z.string()).describe('The relays that say so.'),
  })
  .meta({ id: 'Standstill' })

const SourceView = z
  .object({
    source: z.string(),
    unknown: z.array(z.string()).describe('The fields that are null because they could not be read.'),
    problem: text.describe('Why nothing is known of it.'),
    log: z
      .object({ messages: count, oldestAgeSeconds: count })
      .describe('What waits for the broker, counted to `countMax` a shard.'),
    deliveries: z
      .array(z.object({ destination: z.string(), state: z.string(), count: z.int(), oldestAgeMs: z.number() }))
      .nullable()
      .describe('What is not settled, counted to `countMax` a state.'),
    transactions: z
      .object({
        prepared: z.int(),
        submitted: z.int(),
        aborting: z.int(),
        inDoubt: z.int(),
        oldestAgeSeconds: z.number(),
      })
      .nullable(),
    standstills: z.array(StandstillView).nullable(),
    relays: z
      .array(
        z.object({
          name: z.string(),
          version: z.string(),
          alive: z.boolean(),
          destinations: z.array(z.string()),
          startedAt: time,
          claims: z.int().nullable(),
        }),
      )
      .nullable(),
    shards: z
      .array(
        z.object({
          shard: z.int(),
          owner: text,
          epoch: z.string(),
          low: z.string().describe('Every message up to this number has been handed on.'),
          snapshot: z.string(),
          stream: text,
          streamSequence: text,
          savedAgeMs: z.number(),
        }),
      )
      .nullable()
      .describe('How far the log has been read.'),
    losses: z
      .array(
        z.object({
          stream: z.string(),
          foundAt: time,
          ageMs: z.number(),
          shards: z.int(),
          leftOut: z.number(),
        }),
      )
      .nullable(),
    origin: text,
    doubt: text.describe('Why committed transactions may be missing.'),
  })
  .meta({ id: 'SourceOverview' })

export const OverviewView = z
  .object({
    countMax: z.int().describe('Where counting stops: this number means so many or more.'),
    broker: z
      .object({ configured: z.boolean(), connected: z.boolean().nullable(), problem: text })
      .describe('As the relay that was asked sees it; `connected` is null where it has no broker.'),
    sources: z.array(SourceView),
  })
  .meta({ id: 'Overview' })
