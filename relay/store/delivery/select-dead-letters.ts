import { likePattern } from '../like-pattern.ts'
import type { Queryable } from '../queryable.ts'

/** A dead letter, without its content. */
export interface DeadLetter {
  readonly id: string
  readonly gid: string
  readonly branch: number
  readonly destination: string
  readonly target: string
  readonly key: string | null
  readonly attempts: number
  readonly lastError: string | null
  readonly lastStatus: number | null
  readonly createdAt: Date
  /** Messages of its key that wait behind it; counted to 1000 at most. */
  readonly holds: number
}

/** Which dead letters. */
export interface DeadLetterFilter {
  readonly gid?: string | undefined
  readonly destination?: string | undefined
  /** Subject or path; `*` stands for any text. */
  readonly target?: string | undefined
  readonly key?: string | undefined
  /** Only ids above this one: the last of the page before. */
  readonly afterId?: string | undefined
  readonly limit: number
}

const HOLDS_COUNT_MAX = 1000

/** Dead letters, oldest first, a page at a time by id. Index delivery_dead; delivery_head for what they hold. */
export async function selectDeadLetters(
  client: Queryable,
  { gid, destination, target, key, afterId, limit }: DeadLetterFilter,
): Promise<readonly DeadLetter[]> {
  const { rows } = await client.query<DeadLetter>({
    text: `select d.id, d.gid, d.branch, d.destination, d.target, d.key, d.attempts, d.last_error as "lastError",
  d.last_status as "lastStatus", d.created_at as "createdAt", (
    select count(*)::int from (
      select from postcommit.delivery behind
      where behind.destination = d.destination and behind.key = d.key and behind.id > d.id
        and behind.state in ('pending', 'held', 'dead')
      limit ${HOLDS_COUNT_MAX}
    ) counted
  ) as holds
from postcommit.delivery d
where d.state = 'dead' and d.id > $1 and ($2::text is null or d.gid = $2) and ($3::text is null or d.destination = $3)
  and ($4::text is null or d.target like $4) and ($5::text is null or d.key = $5)
order by d.id limit $6`,
    values: [
      afterId ?? '0',
      gid ?? null,
      destination ?? null,
      target === undefined ? null : likePattern(target),
      key ?? null,
      limit,
    ],
  })
  return rows
}
