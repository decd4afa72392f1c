-- Live relays. Each also holds the session advisory lock (postcommit's class, id), which PostgreSQL frees when the
-- relay's socket dies: a killed relay is noticed at once, one that is stopped or cut off when its lease runs out.
create table postcommit.relay (
  id           bigint      generated always as identity primary key,
  name         text        not null,
  version      text        not null,
  -- The names it delivers to, so that a message for a destination that nobody has can say so.
  destinations text[]      not null default '{}',
  started_at   timestamptz not null default clock_timestamp(),
  lease_until  timestamptz not null
) with (fillfactor = 50);
