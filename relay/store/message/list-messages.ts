import { type Expression, type Kysely, type SqlBool, sql } from 'kysely'
import { DeliveryState } from 'postcommit/protocol'
import { likePattern, likePrefix } from '../like-pattern.ts'
import { HANDED_ON, MAY_WAIT } from '../log/handed-on.ts'
import type { Tables } from '../tables.ts'
import type { MessageState } from './message-state.ts'

/** Which messages; all that is given must fit. */
export interface MessageFilter {
  readonly states?: readonly MessageState[]
  readonly destination?: string
  /** Subject or path; `*` stands for any text. */
  readonly target?: string
  readonly key?: string
  readonly gid?: string
  /** What the gid begins with. */
  readonly gidPrefix?: string
  /** Committed at or after. */
  readonly since?: Date
  /** Committed before. */
  readonly until?: Date
  /** Committed within so many milliseconds, by the database's clock. */
  readonly sinceMs?: number
  /** Only messages before this id: the last one of the page before. */
  readonly before?: string
}

/** One message of a list. */
export interface ListedMessage {
  readonly id: string
  readonly gid: string
  readonly branch: number
  readonly destination: string
  readonly target: string
  readonly key: string | null
  readonly state: MessageState
  readonly attempts: number
  readonly lastError: string | null
  readonly ageMs: number
  /** Until it is due, for a pending message; negative if it is overdue. */
  readonly dueInMs: number | null
}

/**
 * Lists messages, newest first, a page at a time. The log and `delivery` draw their ids from one sequence, so the id
 * is the keyset of both, and a message that was set aside has the same id in both and is shown once, with its fate.
 *
 * Plan: each side is an index scan backwards over its primary key, stopped by LIMIT; `gid` uses delivery_gid, and
 * `waiting` reads the new end of the log only. Other filters walk back through what retention keeps:
 * an index for each would be paid for by every commit. The caller has a statement timeout.
 */
export async function listMessages(
  db: Kysely<Tables>,
  filter: MessageFilter,
  limit: number,
): Promise<readonly ListedMessage[]> {
  const result = await deliveries(db, filter, limit)
    .unionAll(log(db, filter, limit))
    .orderBy(sql.ref('sort_id'), 'desc')
    .limit(limit)
    .execute()
  return result.map(({ sort_id: _, ...message }) => message)
}

function deliveries(db: Kysely<Tables>, filter: MessageFilter, limit: number) {
  const states = Object.values(DeliveryState).filter((state) => filter.states?.includes(state) ?? true)
  const page = db
    .selectFrom('postcommit.delivery as d')
    .select(['d.id as sort_id', 'd.gid', 'd.branch', 'd.destination', 'd.target', 'd.key', 'd.attempts'])
    .select([
      sql<MessageState>`d.state`.as('state'),
      sql<string>`d.id::text`.as('id'),
      'd.last_error as lastError',
      age('d').as('ageMs'),
      sql<number | null>`case d.state when 'pending' then ${dueIn} end`.as('dueInMs'),
    ])
    .where((row) =>
      row.and([
        row('d.state', '=', row.fn.any(row.val(states))),
        ...given(filter.destination, (destination) => row('d.destination', '=', destination)),
        ...given(filter.target, (target) => row('d.target', 'like', likePattern(target))),
        ...given(filter.key, (key) => row('d.key', '=', key)),
        ...given(filter.gid, (gid) => row('d.gid', '=', gid)),
        ...given(filter.gidPrefix, (prefix) => row('d.gid', 'like', likePrefix(prefix))),
        ...given(filter.sinceMs, (sinceMs) => row('d.created_at', '>=', ago(sinceMs))),
        ...given(filter.since, (since) => row('d.created_at', '>=', since)),
        ...given(filter.until, (until) => row('d.created_at', '<', until)),
        ...given(filter.before, (id) => row('d.id', '<', id)),
      ]),
    )
    .orderBy('d.id', 'desc')
    .limit(limit)
  return db.selectFrom(page.as('delivery_page')).selectAll()
}

// The columns in the same order as above: UNION goes by place, not by name.
function log(db: Kysely<Tables>, filter: MessageFilter, limit: number) {
  const { states = ['waiting', 'published'], destination = 'nats' } = filter
  const handedOn = sql.raw<SqlBool>(HANDED_ON)
  const page = db
    .selectFrom('postcommit.outbox as log')
    .select(['log.id as sort_id', 'log.gid', 'log.branch', sql<string>`'nats'`.as('destination')])
    .select(['log.topic as target', 'log.key', sql<number>`0`.as('attempts')])
    .select([
      sql<MessageState>`case when ${handedOn} then 'published' else 'waiting' end`.as('state'),
      sql<string>`log.id::text`.as('id'),
      sql<string | null>`null::text`.as('lastError'),
      age('log').as('ageMs'),
      sql<number | null>`null::float8`.as('dueInMs'),
    ])
    .where((row) =>
      row.and([
        row(row.val(destination), '=', 'nats'),
        // Not as NOT EXISTS: that is planned as a join, which reads the whole of both tables before it gives the first row.
        sql<SqlBool>`(select d.id from postcommit.delivery d where d.id = log.id) is null`,
        ...placeInLog(states, handedOn),
        ...given(filter.target, (target) => row('log.topic', 'like', likePattern(target))),
        ...given(filter.key, (key) => row('log.key', '=', key)),
        ...given(filter.gid, (gid) => row('log.gid', '=', gid)),
        ...given(filter.gidPrefix, (prefix) => row('log.gid', 'like', likePrefix(prefix))),
        ...given(filter.sinceMs, (sinceMs) => row('log.created_at', '>=', ago(sinceMs))),
        ...given(filter.since, (since) => row('log.created_at', '>=', since)),
        ...given(filter.until, (until) => row('log.created_at', '<', until)),
        ...given(filter.before, (id) => row('log.id', '<', id)),
      ]),
    )
    .orderBy('log.id', 'desc')
    .limit(limit)
  return db.selectFrom(page.as('log_page')).selectAll()
}

function placeInLog(states: readonly MessageState[], handedOn: Expression<SqlBool>): Expression<SqlBool>[] {
  const [waiting, published] = [states.includes('waiting'), states.includes('published')]
  if (waiting && published) return []
  if (published) return [handedOn]
  if (waiting) return [sql<SqlBool>`${sql.raw(MAY_WAIT)} and not ${handedOn}`]
  return [sql<SqlBool>`false`]
}

function given<T>(value: T | undefined, condition: (value: T) => Expression<SqlBool>): Expression<SqlBool>[] {
  return value === undefined ? [] : [condition(value)]
}

const age = (table: 'd' | 'log') =>
  sql<number>`extract(epoch from clock_timestamp() - ${sql.ref(`${table}.created_at`)})::float8 * 1000`

const dueIn = sql<number>`extract(epoch from greatest(d.due_at, d.lease_until) - clock_timestamp())::float8 * 1000`

const ago = (milliseconds: number) =>
  sql<Date>`statement_timestamp() - ${milliseconds}::float8 * interval '1 millisecond'`
