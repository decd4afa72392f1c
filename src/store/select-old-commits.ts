import type { Statement } from './database.ts'

/**
 * The next gids, in their order, whose row of a prepared message or of a chosen gid is older. Index
 * barrier_commits: all batches together read these rows once, and no others.
 */
export function selectOldCommits(olderThanMs: number, after: string, batch: number): Statement {
  return {
    text: `select gid from postcommit.barrier
where gid > $2 and branch = '' and op = 'commit' and barrier_id = ''
  and created_at < statement_timestamp() - $1::double precision * interval '1 millisecond'
order by gid limit $3`,
    values: [olderThanMs, after, batch],
  }
}
