import { Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import { type ListedMessage, listMessages, type MessageFilter } from '../store/list-messages.ts'
import type { Tables } from '../store/tables.ts'

/** One page of messages over the connections of a source. */
export function listPage(pool: pg.Pool, filter: MessageFilter, limit: number): Promise<readonly ListedMessage[]> {
  return listMessages(new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) }), filter, limit)
}
