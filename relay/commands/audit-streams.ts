import type { NatsConnection } from '@nats-io/transport-node'
import type pg from 'pg'
import { messageId, parseMessageId } from 'postcommit/protocol'
import { readStream, type StoredMessage } from '../broker/read-stream.ts'
import { createAudit, deleteKnown, insertAudited, type StreamMessage, selectUnknown } from '../store/log/audit-log.ts'

/** What is compared. */
export interface AuditOptions {
  readonly streams: readonly string[]
  /** Only what was published since, unix milliseconds. */
  readonly fromMs: number
  /** What was committed before may have been taken by retention, unix milliseconds. */
  readonly keptFromMs: number
  /** No more are listed. */
  readonly limit: number
}

/** A message that a broker has and no database knows. */
export interface MissingMessage {
  readonly id: string
  readonly gid: string
  readonly branch: number
  readonly stream: string
  readonly sequence: number
  readonly publishedAt: Date
}

/** What the comparison has found. */
export interface Audit {
  readonly streams: readonly { readonly stream: string; readonly messages: number }[]
  readonly missing: readonly MissingMessage[]
  /** All of them, listed or not. */
  readonly missingCount: number
  /** Messages that nothing can be said of: not published by a relay, or committed before what the log keeps. */
  readonly notJudged: number
}

const PAGE = 1000

/**
 * Lists the messages of streams of which no database knows anything: what was published and whose transaction was lost
 * since, or what others publish to the same streams. Each database is a session of its own; they are asked one after the
 * other about what those before did not know. One page is in memory.
 */
export async function auditStreams(
  nc: NatsConnection,
  databases: readonly pg.ClientBase[],
  { streams, fromMs, keptFromMs, limit }: AuditOptions,
): Promise<Audit> {
  const [first, ...others] = databases
  if (first === undefined) throw new Error('there is no database to compare with')
  let notJudged = 0
  const read: { stream: string; messages: number }[] = []
  await createAudit(first)
  for (const stream of streams) {
    let messages = 0
    for await (const batch of readStream(nc, stream, fromMs)) {
      const judged = batch.flatMap((message) => judgeable(message, stream, keptFromMs) ?? [])
      messages += batch.length
      notJudged += batch.length - judged.length
      await insertAudited(first, judged)
    }
    read.push({ stream, messages })
  }
  await deleteKnown(first)
  let last = first
  for (const other of others) {
    await createAudit(other)
    for await (const page of pagesOf(last)) await insertAudited(other, page)
    await deleteKnown(other)
    last = other
  }
  const missing: MissingMessage[] = []
  let missingCount = 0
  for await (const page of pagesOf(last)) {
    missingCount += page.length
    missing.push(...page.slice(0, Math.max(0, limit - missing.length)).map(asMissing))
  }
  return { streams: read, missing, missingCount, notJudged }
}

async function* pagesOf(client: pg.ClientBase): AsyncGenerator<readonly StreamMessage[]> {
  for (let after = '0'; ; ) {
    const page = await selectUnknown(client, after, PAGE)
    if (page.length === 0) return
    yield page
    after = page.at(-1)?.at ?? after
  }
}

function judgeable({ messageId: id, ...stored }: StoredMessage, stream: string, keptFromMs: number) {
  const parsed = id === undefined ? undefined : parseMessageId(id)
  if (parsed === undefined || drawnMs(parsed.gid) < keptFromMs || stored.storedMs < keptFromMs) return undefined
  return { ...parsed, ...stored, stream }
}

/** When a gid was drawn, if it tells: a message may have been published long after it was committed. */
function drawnMs(gid: string): number {
  const match = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-/.exec(gid)
  return match === null ? Number.POSITIVE_INFINITY : Number.parseInt(`${match[1]}${match[2]}`, 16)
}

const asMissing = ({ gid, branch, stream, sequence, storedMs }: StreamMessage): MissingMessage => ({
  id: messageId(gid, branch),
  gid,
  branch,
  stream,
  sequence,
  publishedAt: new Date(storedMs),
})
