import type { Queryable } from '../../relay/store/queryable.ts'

/** A row as whoever may insert one writes it by hand. */
export interface ForeignRow {
  readonly gid: string
  readonly branch: number
  /** The subject of a publish; calls have a path of their own. */
  readonly topic: string
  readonly key: string | null
  readonly payload: string | null
  readonly body?: Buffer
  readonly headers: string | null
}

/** What no relay may send, with the reason that its dead letter shows. `topic` starts with the prefix of the stream. */
export const FOREIGN_PUBLISHES: readonly [
  name: string,
  part: (prefix: string) => Partial<ForeignRow>,
  reason: RegExp,
][] = [
  ['the API of the server', () => ({ topic: '$JS.API.STREAM.DELETE.ORDERS' }), /topic .*\$/],
  ['an inbox', () => ({ topic: '_INBOX.abc.1' }), /topic .*inboxes/],
  ["this project's own subject", () => ({ topic: 'postcommit.anything' }), /topic .*invalidate/],
  ['everything', () => ({ topic: '>' }), /topic/],
  ['any token', (prefix) => ({ topic: `${prefix}.*` }), /topic/],
  ['a second command', (prefix) => ({ topic: `${prefix}.a 1\r\nx\r\nPUB ${prefix}.b` }), /topic/],
  ['an empty gid', () => ({ gid: '' }), /gid/],
  ['a gid with spaces', () => ({ gid: 'a b' }), /gid/],
  ['a gid with a line break', () => ({ gid: 'a\r\nNats-Rollup: all' }), /gid/],
  ['a negative branch', () => ({ branch: -5 }), /branch/],
  ['a key of 5,000 characters', () => ({ key: incompressible(5000) }), /key/],
  ['a key with a line break', () => ({ key: 'a\r\nb' }), /key/],
  ['a header that deletes the past', () => ({ headers: '{"nats-rollup":"all"}' }), /nats-rollup/],
  ['another message id', () => ({ headers: '{"Nats-Msg-Id":"mine"}' }), /reserved/],
  ['a header within a header', () => ({ headers: '{"a":"b\\r\\nNats-Rollup: all"}' }), /control/],
  ['headers that are none', () => ({ headers: 'x' }), /headers/],
  ['what is no JSON', () => ({ payload: 'hello' }), /JSON/],
  ['too much', () => ({ payload: JSON.stringify('x'.repeat(950_000)) }), /950002 bytes/],
]

/** Text that no compression makes short enough for an index. */
function incompressible(length: number): string {
  let seed = 1
  return Array.from({ length }, () => {
    seed = (seed * 48_271) % 2_147_483_647
    return String.fromCharCode(33 + (seed % 94))
  }).join('')
}

/** Takes away what refuses such rows at their insert: they are of a release without it. */
export async function allowForeignRows(client: Queryable): Promise<void> {
  await client.query({ text: 'alter table postcommit.outbox drop constraint if exists outbox_message' })
  await client.query({ text: 'drop trigger if exists refuse_delivery on postcommit.delivery' })
}

/** Inserts rows into the log as they are; resolves to their ids. */
export async function insertForeign(client: Queryable, rows: readonly ForeignRow[]): Promise<string[]> {
  const ids: string[] = []
  for (const { gid, branch, topic, key, payload, body, headers } of rows) {
    const { rows: inserted } = await client.query<{ id: string }>({
      text: `insert into postcommit.outbox (gid, branch, topic, key, slot, payload, body, headers)
values ($1, $2, $3, $4, (hashtextextended(coalesce($4, $1), 0) & 63)::smallint, $5, $6, $7) returning id`,
      values: [gid, branch, topic, key, payload, body ?? null, headers],
    })
    ids.push(inserted[0]?.id ?? '')
  }
  return ids
}
