import type { Statement } from './database.ts'

/** Forgets the rows of prepared messages and chosen gids; primary key. */
export function deleteCommits(gids: readonly string[]): Statement {
  return {
    text: `with gone as (
  delete from postcommit.barrier where gid = any ($1::text[]) and branch = '' and op = 'commit' and barrier_id = ''
  returning 1
)
select count(*)::integer as purged from gone`,
    values: [gids],
  }
}
