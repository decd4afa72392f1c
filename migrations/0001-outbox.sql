-- The log of what must be published after a commit.
--
-- Append-only: a row is inserted by the business transaction and never updated. "Handed on" is not a column; it is
-- a row's visibility in the snapshot saved in postcommit.position, so handing on a million messages writes nothing
-- here. Cleaning up is dropping a partition.
create schema if not exists postcommit;

-- cache 1 (the default, said aloud): with a larger cache two sessions draw ids from separate blocks and the order of
-- ids stops being the order of inserts, which is what orders the messages of one key.
create sequence postcommit.outbox_id as bigint cache 1;

create table postcommit.outbox (
  -- xid stands before id on purpose: the reader prunes partitions with "id > low", where low was read from the
  -- sequence before a snapshot. A transaction that drew its id first and its xid afterwards could slip under low.
  xid        xid8        not null default pg_current_xact_id(),
  id         bigint      not null default nextval('postcommit.outbox_id'),
  gid        text        not null,
  branch     integer     not null,
  topic      text        not null,
  key        text,
  slot       smallint    not null,
  -- Exactly the bytes that are sent. JSON stays text: jsonb would reorder and round it, and costs 1.4 to 1.9 times
  -- as much to fetch. Binary bodies have a column of their own.
  payload    text,
  body       bytea,
  headers    text,
  created_at timestamptz not null default clock_timestamp(),
  primary key (id),
  constraint outbox_one_body check ((payload is null) <> (body is null)),
  constraint outbox_slot_range check (slot between 0 and 63)
) partition by range (id);

-- The relay's only access path: new rows are a short range at the right-hand end of it.
create index outbox_xid on postcommit.outbox (xid);
-- Lets `inspect` find a gid without a second B-tree on the write path: a UUIDv7 tells its own time.
create index outbox_created_at on postcommit.outbox using brin (created_at);

-- The safety net: if no relay runs for so long that the partitions made ahead are full, services keep committing.
create table postcommit.outbox_default partition of postcommit.outbox default;
-- The first two; a relay makes the others ahead of the sequence and drops them after the retention.
create table postcommit.outbox_p0 partition of postcommit.outbox for values from (minvalue) to (1000000);
create table postcommit.outbox_p1 partition of postcommit.outbox for values from (1000000) to (2000000);

create table postcommit.position (
  shard           smallint    primary key,
  -- The slots this shard reads, both inclusive. All shards together cover 0 to 63.
  slot_first      smallint    not null,
  slot_last       smallint    not null,
  -- Every row visible in it has been acknowledged by the broker or parked in postcommit.delivery.
  snapshot        pg_snapshot not null,
  -- No row that is not visible in snapshot has an id at or below low.
  low             bigint      not null,
  -- Only while a large window is half done: rows visible in window_snapshot up to window_id are handed on as well.
  window_snapshot pg_snapshot,
  window_id       bigint,
  -- The fence: raised whenever the owner changes, demanded by every write of an owner.
  epoch           bigint      not null default 0,
  owner           bigint,
  -- The newest acknowledgement, for comparing our memory with the broker's.
  stream          text,
  stream_sequence bigint,
  message_id      text,
  saved_at        timestamptz not null default clock_timestamp(),
  constraint position_slots check (slot_first between 0 and 63 and slot_last between slot_first and 63),
  constraint position_window check ((window_snapshot is null) = (window_id is null))
) with (fillfactor = 50);

-- One row: which database this is. A dump restored elsewhere brings its transaction ids with it but not the
-- cluster they belong to; the relay compares system_identifier and refuses to read snapshots of another cluster.
create table postcommit.installation (
  only_row          boolean     primary key default true check (only_row),
  id                uuid        not null default gen_random_uuid(),
  system_identifier bigint      not null,
  partition_size    bigint      not null default 1000000,
  created_at        timestamptz not null default clock_timestamp()
);

-- Starts where the log starts: nothing is visible in an empty snapshot, so rows that a service commits before the
-- first relay ever runs are delivered too.
insert into postcommit.position (shard, slot_first, slot_last, snapshot, low)
values (0, 0, 63, '1:1:', 0);

insert into postcommit.installation (system_identifier)
select system_identifier from pg_control_system();
