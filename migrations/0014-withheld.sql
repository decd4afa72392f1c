-- The subject or the stream that takes nothing at the moment and for which a delivery waits: 'subject order.placed',
-- 'stream ORDERS'. One message of it is tried now and then; when that gets through, all others are due at once.
alter table postcommit.delivery add column withheld_by text collate "C";
-- What waits for a subject or stream? Small: only what was refused. A claim changes no column of it, so claims stay HOT.
create index delivery_withheld on postcommit.delivery (withheld_by, id)
  where withheld_by is not null and state in ('pending', 'held');

-- What keeps a live relay from handing messages on, as it last said so: for `inspect`, `status` and `doctor`, which are other
-- processes. A relay replaces its own rows, and they go with it.
create table postcommit.trouble (
  relay         bigint      not null references postcommit.relay (id) on delete cascade,
  -- 'nats' (the broker as a whole), 'subject order.placed', 'stream ORDERS', or 'destination stock'.
  scope         text        not null,
  cause         text        not null,
  error         text        not null,
  since         timestamptz not null,
  next_probe_at timestamptz not null,
  primary key (relay, scope)
);
