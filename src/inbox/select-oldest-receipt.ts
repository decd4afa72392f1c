import type { Statement } from '../store/database.ts'

/**
 * The session whose transaction has been open longest of those that have written to the barrier table: in all likelihood
 * the one that a receipt waits for. Whose row it is cannot be seen before it is committed. The views show the whole cluster,
 * and the numbers of tables are those of one database; of other roles' sessions only the process and the name are shown.
 */
export function selectOldestReceipt(): Statement {
  return {
    text: `select s.pid, s.application_name as application, s.state, s.xact_start::text as since
from pg_locks l join pg_stat_activity s on s.pid = l.pid
where l.locktype = 'relation' and l.mode = 'RowExclusiveLock' and l.granted and l.pid <> pg_backend_pid()
  and l.database = (select oid from pg_database where datname = current_database())
  and l.relation = 'postcommit.barrier'::regclass
order by s.xact_start limit 1`,
    values: [],
  }
}
