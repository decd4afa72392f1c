-- What is purged by age is found by B-trees. BRIN, which they replace, tells blocks apart by the oldest and newest row that
-- was ever put into them: once a purge has made room and the room is used again, each holds old and new, and a purge reads
-- the whole table. A row of the barrier is in one of the three at most; an insert puts it at the right-hand end.
--
-- Each locks its table against writers while it is built. Where a table is large, make the index before, CONCURRENTLY and
-- under the same name.
create index if not exists barrier_receipts on postcommit.barrier (barrier_id, created_at) where op = 'inbox';
create index if not exists barrier_branches on postcommit.barrier (created_at) where op <> 'inbox' and branch <> '';
create index if not exists barrier_commits on postcommit.barrier (gid) where op = 'commit' and branch = '' and barrier_id = '';
drop index postcommit.barrier_created_at;
create index if not exists redis_entry_applied on postcommit.redis_entry (applied_at);
drop index postcommit.redis_entry_applied_at;
