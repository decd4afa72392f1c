import type { Statement } from '../../store/database.ts'

/** The next gids, in their order, whose row of a prepared message is older; primary key. */
export function selectOldCommits(olderThanMs: number, after: string, batch: number): Statement {
  return {
    text: `select gid from postcommit_barrier
where gid > ? and branch = '' and op = 'commit' and barrier_id = '' and created_at < now(6) - interval ? microsecond
order by gid limit ?`,
    values: [after, Math.round(olderThanMs * 1000), batch],
  }
}

/** Forgets the rows of prepared messages; primary key. */
export function deleteCommits(gids: readonly string[]): Statement {
  return {
    text: `delete from postcommit_barrier
where gid in (${gids.map(() => '?').join(', ')}) and branch = '' and op = 'commit' and barrier_id = ''`,
    values: [...gids],
  }
}
