import type { Queryable } from '../queryable.ts'

/** A message as a stream has it. */
export interface StreamMessage {
  readonly gid: string
  readonly branch: number
  readonly stream: string
  readonly sequence: number
  /** Unix milliseconds by the clock of the broker. */
  readonly storedMs: number
}

/** A message of a stream of which a database knows nothing. */
export interface UnknownMessage extends StreamMessage {
  /** Its place in the order in which the messages were written down. */
  readonly at: string
}

/**
 * Makes the table in which messages of streams are compared with the log: a temporary one, so that it is the server which
 * keeps them, on its disk if they are many, and it goes with the session.
 */
export async function createAudit(client: Queryable): Promise<void> {
  await client.query({
    text: `create temporary table if not exists postcommit_audit (
  at bigint generated always as identity primary key, gid text, branch integer, stream text, sequence bigint, stored_ms float8
); truncate postcommit_audit`,
  })
}

/** Writes messages of a stream down. */
export async function insertAudited(client: Queryable, messages: readonly StreamMessage[]): Promise<void> {
  await client.query({
    text: `insert into postcommit_audit (gid, branch, stream, sequence, stored_ms)
select * from unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::float8[])`,
    values: [
      messages.map(({ gid }) => gid),
      messages.map(({ branch }) => branch),
      messages.map(({ stream }) => stream),
      messages.map(({ sequence }) => sequence),
      messages.map(({ storedMs }) => storedMs),
    ],
  })
}

/**
 * Takes away what the database knows: what is in its log, its deliveries or its global transactions. Hash joins over the
 * whole of them, once, because the log has no index on gid: every commit would pay for it.
 */
export async function deleteKnown(client: Queryable): Promise<void> {
  await client.query({ text: 'analyze postcommit_audit' })
  await client.query({
    text: `delete from postcommit_audit a
where exists (select from postcommit.outbox o where o.gid = a.gid and o.branch = a.branch)
  or exists (select from postcommit.delivery d where d.gid = a.gid and d.branch = a.branch)
  or exists (select from postcommit.global_transaction t where t.gid = a.gid)`,
  })
}

/** The next messages of which the database knows nothing; primary key of the temporary table. */
export async function selectUnknown(
  client: Queryable,
  after: string,
  limit: number,
): Promise<readonly UnknownMessage[]> {
  const { rows } = await client.query<UnknownMessage>({
    text: `select at, gid, branch, stream, sequence::float8 as sequence, stored_ms as "storedMs"
from postcommit_audit where at > $1 order by at limit $2`,
    values: [after, limit],
  })
  return rows
}

/** The streams that have acknowledged messages to a database, as far as it remembers. Two small tables. */
export async function selectAcknowledgingStreams(client: Queryable): Promise<readonly string[]> {
  const { rows } = await client.query<{ stream: string }>({
    text: `select stream from postcommit.position where stream is not null union select stream from postcommit.broker_mark
order by stream`,
  })
  return rows.map(({ stream }) => stream)
}
