-- What was sold in Redis, as the database knows it. The relay moves these rows in the transaction that writes the orders,
-- so units sold and orders are one number; and no Redis that has forgotten what it sold can make it sell more.

-- One row for each outbox in Redis whose stock was opened.
create table postcommit.redis_outbox (
  name           text        collate "C" primary key,
  -- Drawn when the stock was put into Redis, and kept there beside it: a Redis without it, or with another, is not the
  -- one that sold the units that are counted here.
  epoch          text        not null,
  opened_at      timestamptz not null default clock_timestamp(),
  -- How long the barriers live in Redis. What was applied is remembered here for as long.
  barrier_ms     bigint      not null,
  -- Since when nothing is sold, because Redis has lost data; null while it has not.
  stopped_at     timestamptz,
  stopped_reason text,
  constraint redis_outbox_stopped check ((stopped_at is null) = (stopped_reason is null))
);

create table postcommit.redis_stock (
  name      text   collate "C" not null references postcommit.redis_outbox (name),
  key       text   collate "C" not null,
  total     bigint not null,
  -- Units of entries that were applied, less those that came back. One row version for each batch: room for HOT updates.
  sold      bigint not null default 0,
  -- Units that Redis sold and this row refused; each deduction became a dead letter.
  refused   bigint not null default 0,
  -- When they were put into Redis; null: not yet, or whoever did has died before saying so here.
  stocked_at timestamptz,
  primary key (name, key),
  constraint redis_stock_total check (total > 0),
  constraint redis_stock_sold check (sold between 0 and total)
) with (fillfactor = 10);

-- Entries of the streams that were applied. What is here is not applied again, however often the stream is read; and
-- when Redis has lost its data, the barriers are put there again from here.
create table postcommit.redis_entry (
  name       text        collate "C" not null,
  gid        text        collate "C" not null,
  -- deduct · give_back · script
  op         text        not null,
  key        text,
  qty        bigint,
  applied_at timestamptz not null default clock_timestamp(),
  primary key (name, gid, op)
);
create index redis_entry_applied_at on postcommit.redis_entry using brin (applied_at);
