import type { ReadEntry } from '../../engine/redis-batch.ts'
import type { Queryable } from '../queryable.ts'

/**
 * Writes the messages of a batch of entries by the function that `outbox.commit()` writes those of a transaction with
 * (`migrations/0012-write-messages.sql`). Nothing follows but COMMIT.
 */
export async function insertEntryMessages(client: Queryable, entries: readonly ReadEntry[]): Promise<number> {
  const messages = entries.flatMap(({ gid, messages = [] }) => messages.map((message) => ({ gid, ...message })))
  if (messages.length === 0) return 0
  type Message = (typeof messages)[number]
  const column = <T>(value: (message: Message) => T): T[] => messages.map(value)
  await client.query({
    name: 'postcommit_insert_entry_messages',
    text: `select postcommit.write_messages(null, $1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
  array(select decode(body, 'base64') from unnest($8::text[]) with ordinality as b (body, position) order by position),
  $9::float8[], $10::timestamptz[])`,
    values: [
      column(({ gid }) => gid),
      column(({ branch }) => branch),
      column(({ destination }) => destination ?? null),
      column(({ target }) => target),
      column(({ key }) => key ?? null),
      column(({ headers }) => headers ?? null),
      column(({ text }) => text ?? null),
      column(({ bytes }) => bytes ?? null),
      column(({ delayMs }) => delayMs ?? null),
      column(({ at }) => at ?? null),
    ],
  })
  return messages.length
}
