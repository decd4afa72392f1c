-- That a broker was found without what it had acknowledged, and what was done about it: it is put right within seconds, and
-- operators are to know of it all the same.
create table postcommit.broker_loss (
  id               bigint      generated always as identity primary key,
  shard            smallint    not null,
  streams          text[]      collate "C" not null,
  -- The newest message that was still there, after which all was published again; null: from the beginning of what is kept.
  after_message_id text,
  -- Of what was lost so many messages are older than the retention and were not published again.
  left_out         bigint      not null,
  found_at         timestamptz not null default clock_timestamp()
);
