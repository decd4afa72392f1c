import { setTimeout as sleep } from 'node:timers/promises'
import { selectLogBacklog } from '../../relay/store/log/select-log-backlog.ts'
import type { BenchDatabase, BenchStream } from './servers.ts'

/** Messages that wait in a log. */
export interface BacklogOptions {
  readonly database: BenchDatabase
  readonly stream: BenchStream
  readonly count: number
  /** Of each content. */
  readonly bytes: number
  /** How many different keys they have; without it they have none. */
  readonly keys?: number | undefined
}

const LOOK_MS = { least: 1, most: 20 }
/** As the SDK does after its COMMIT. */
const WAKE = "select pg_notify('postcommit', '')"
const PATIENCE_MS = 120_000

/**
 * Commits a backlog in one transaction, so that all of it becomes visible at one moment, and waits until the stream
 * holds every message and the saved position says so.
 *
 * @returns milliseconds from the answer to COMMIT until then; what is looked at every 20 ms (every ms if they are few) can be that late
 * @throws if the stream then holds more or fewer than there were
 */
export async function drainBacklog(options: BacklogOptions): Promise<number> {
  const { database, stream, count } = options
  await stream.purge()
  let committedAt = 0
  const client = await database.pool.connect()
  try {
    await client.query('begin')
    await client.query(insertOf(options))
    await client.query('commit')
    committedAt = performance.now()
    await client.query(WAKE)
  } finally {
    client.release()
  }
  return await drained(database, stream, count, committedAt)
}

/** Waits until `count` messages are in the stream and the log has nothing left; resolves to the time since `startedAt`. */
export async function drained(
  { pool }: BenchDatabase,
  stream: BenchStream,
  count: number,
  startedAt: number,
): Promise<number> {
  // Small backlogs are gone after some milliseconds.
  const lookMs = Math.min(LOOK_MS.most, Math.max(LOOK_MS.least, count / 5000))
  while ((await stream.count()) < count || (await selectLogBacklog(pool)).messages !== 0) {
    if (performance.now() - startedAt > PATIENCE_MS) throw new Error(`${await stream.count()} of ${count} after 2 min`)
    await sleep(lookMs)
  }
  const ms = performance.now() - startedAt
  const stored = await stream.count()
  if (stored !== count) throw new Error(`${count} messages were committed and the stream holds ${stored}`)
  return ms
}

type InsertOptions = Pick<BacklogOptions, 'count' | 'bytes' | 'keys'> & { readonly stream: Pick<BenchStream, 'prefix'> }

/** Inserts a backlog, as the SDK writes its rows: gids of 36 characters, slots by key or by gid. */
export function insertOf({ stream, count, bytes, keys }: InsertOptions) {
  return {
    text: `insert into postcommit.outbox (gid, branch, topic, key, slot, payload)
select gid, 1, $1, key, (hashtextextended(coalesce(key, gid), 0) & 63)::smallint,
  '{"n":' || n || ',"text":"' || repeat('x', $3 - 18 - length(n::text)) || '"}'
from (
  select n, gen_random_uuid()::text as gid, 'key-' || (n % $4) as key from generate_series(1, $2::int) n offset 0
) message`,
    values: [`${stream.prefix}.bench`, count, bytes, keys ?? null],
  }
}
