-- "This has happened already": a gid that the caller chose, or a message that a consumer has taken effect of. The
-- row is written in the transaction whose effect it guards, so the two are there together or not at all.
create table postcommit.barrier (
  gid        text        not null,
  branch     text        not null,
  op         text        not null,
  barrier_id text        not null default '',
  -- Who wrote the row: the op itself, or one that had to close the door on it.
  reason     text        not null,
  -- SHA-256 of what the row stands for; the same gid with other content is a conflict, not a repetition.
  digest     text,
  created_at timestamptz not null default clock_timestamp(),
  primary key (gid, branch, op, barrier_id)
);
create index barrier_created_at on postcommit.barrier using brin (created_at);
