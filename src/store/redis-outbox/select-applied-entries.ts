import type { Statement } from '../database.ts'

/**
 * What was applied of an outbox, a page of gids at a time: one row a gid, `returned` if it was given back. A range of the
 * primary key (name, gid, op).
 */
export function selectAppliedEntries(name: string, afterGid: string, limit: number): Statement {
  return {
    text: `select gid, bool_or(op = 'give_back') as returned, min(op) filter (where op <> 'give_back') as op, min(key) as key, min(qty)::text as qty
from postcommit.redis_entry where name = $1 and gid > $2 group by gid order by gid limit $3`,
    values: [name, afterGid, limit],
  }
}
