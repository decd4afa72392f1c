-- Where a shard stood when a message was the newest that a stream had acknowledged to it, written now and then. A broker that
-- has lost its tail is found out by what it has under such a number; the newest mark that is still there is where publishing
-- starts again.
create table postcommit.broker_mark (
  id              bigint      generated always as identity primary key,
  shard           smallint    not null,
  stream          text        collate "C" not null,
  stream_sequence bigint      not null,
  message_id      text        not null,
  -- A position, as in postcommit.position: all that it covers and that went to this stream has at most that number in it.
  snapshot        pg_snapshot not null,
  low             bigint      not null,
  window_snapshot pg_snapshot,
  window_id       bigint,
  saved_at        timestamptz not null default clock_timestamp()
);
