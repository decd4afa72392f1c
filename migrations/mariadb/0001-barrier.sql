-- "This has happened already", for services whose business data is in MariaDB or MySQL. The same rows as
-- postcommit.barrier in PostgreSQL, in the database of the business tables: a row is written in the transaction whose
-- effect it guards, so the two are there together or not at all.
--
-- Ids are compared by their bytes: under the usual collations `a` and `A` would be the same transaction, and the
-- second would be taken for a repetition of the first.
create table if not exists postcommit_barrier (
  gid        varchar(64)  character set ascii collate ascii_bin not null,
  branch     varchar(128) character set ascii collate ascii_bin not null,
  op         varchar(32)  character set ascii collate ascii_bin not null,
  barrier_id varchar(64)  character set ascii collate ascii_bin not null,
  -- Who wrote the row: the op itself, or one that had to close the door on it.
  reason     varchar(32)  character set ascii collate ascii_bin not null,
  -- SHA-256 of what the row stands for; the same gid with other content is a conflict, not a repetition.
  digest     char(64)     character set ascii collate ascii_bin null,
  created_at timestamp(6) not null default current_timestamp(6),
  primary key (gid, branch, op, barrier_id),
  key postcommit_barrier_created_at (created_at)
) engine = InnoDB;
