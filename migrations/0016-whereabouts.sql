-- What a position relies on beyond itself: that the sequence of the log goes forward only, and that this is the database,
-- and this the history of it, in which the position was saved.

-- The bound that readers prune partitions with: ids at or below are not looked at. It is the end of a partition, and it
-- was true when floor_snapshot was the position's: rows that this does not show and that lie at or below floor can only
-- come from a sequence that went back. The publisher looks for them and gives them new ids, and only then moves both on.
-- floor_snapshot null: the position's own. Apart from low, which relays of an older version move by themselves.
alter table postcommit.position
  add column floor bigint not null default 0,
  add column floor_snapshot pg_snapshot;

-- Null until a relay has taken part: a database that was copied from a template has served nobody.
alter table postcommit.installation
  add column database_oid oid,
  -- The timeline of the write-ahead log: it changes whenever a standby is promoted.
  add column timeline integer,
  -- Where the database was, as it says itself, when a broker still had what it had acknowledged.
  add column place text,
  -- What happened to the database that may have taken committed transactions away, until an operator acknowledges it.
  add column doubt text,
  add column doubted_at timestamptz;
