-- One road after the verdict: a two-phase message is one row while it is undecided, and rows of outbox and delivery from
-- then on. What becomes of it there (order, attempts, dead letters, repair) is what becomes of any other message.

-- The messages as JSON, while they are undecided or wait for an earlier message of one of their keys. Null as well: a
-- transaction with branches of its own.
alter table postcommit.global_transaction add column content text;
-- The transaction that wrote them to outbox and delivery: how to find what of the gid is not settled yet.
alter table postcommit.global_transaction add column handed_xid xid8;

-- The keys of the messages that have a `content`. A message goes to the outbox when no earlier one that shares a key
-- with it is still here.
create table postcommit.prepared_key (
  tenant         text   collate "C" not null,
  key            text   collate "C" not null,
  transaction_id bigint not null,
  primary key (tenant, key, transaction_id)
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
