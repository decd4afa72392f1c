import { Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import { type ListedMessage, listMessages, type MessageFilter } from '../store/message/list-messages.ts'
import type { Tables } from '../store/tables.ts'

/** A page of messages, newest first. */
export interface MessagePage {
  readonly messages: readonly ListedMessage[]
  /** What `before` of the next page is; null: there is none. */
  readonly before: string | null
}

/** Reads a page over the connections of a source. */
export async function messagePage(pool: pg.Pool, filter: MessageFilter, limit: number): Promise<MessagePage> {
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  // One more than is shown: only so is it known whether there is another page.
  const found = await listMessages(db, filter, limit + 1)
  const messages = found.slice(0, limit)
  return { messages, before: found.length > limit ? (messages.at(-1)?.id ?? null) : null }
}
