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

-- Writes messages into outbox and delivery; returns the xid of the transaction. The arrays have one element a message.
-- A null destination: it is published; 'nats' or a configured name: it is delivered, `delay_ms` from now or at `due_at`.
--
-- What must be so, and what breaks otherwise:
-- - the xid is drawn before any id: an id that is older than its xid could slip under the lower bound of the reader.
-- - the locks of the keys are taken in the order of their hashes, or two transactions could wait for each other, and
--   before any id is drawn, so that ids of one key rise in the order of commits.
-- - it is the last statement before COMMIT, because it holds those locks until then.
-- - synchronous_commit is read at COMMIT: with "off", a relay could publish what a crash then forgets.
--
-- A function, because its statements are then planned once a session, and because it is the one place that writes
-- messages for services, relays and the entries of outboxes in Redis.
create function postcommit.write_messages(
  gids text[], branches integer[], destinations text[], targets text[], keys text[], headers text[], payloads text[],
  bodies bytea[], delays_ms float8[], due_ats timestamptz[]
) returns xid8 language plpgsql as $$
begin
  perform pg_current_xact_id();
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;
  perform pg_advisory_xact_lock(ordered.lock) from (
    select distinct hashtextextended(m.key, 8107365742) as lock from unnest($5) as m (key) where m.key is not null order by 1
  ) ordered;
  insert into postcommit.outbox (xid, gid, branch, topic, key, slot, payload, body, headers)
  select pg_current_xact_id(), m.gid, m.branch, m.target, m.key,
    (hashtextextended(coalesce(m.key, m.gid), 0) & 63)::smallint, m.payload, m.body, m.headers
  from unnest($1, $2, $3, $4, $5, $6, $7, $8) with ordinality
    as m (gid, branch, destination, target, key, headers, payload, body, position)
  where m.destination is null order by m.position;
  insert into postcommit.delivery (gid, branch, destination, target, key, slot, payload, body, headers, due_at)
  select m.gid, m.branch, m.destination, m.target, m.key,
    (hashtextextended(coalesce(m.key, m.gid), 0) & 63)::smallint, m.payload, m.body, m.headers,
    coalesce(m.due_at, clock_timestamp() + coalesce(m.delay_ms, 0) * interval '1 millisecond')
  from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) with ordinality
    as m (gid, branch, destination, target, key, headers, payload, body, delay_ms, due_at, position)
  where m.destination is not null order by m.position;
  return pg_current_xact_id();
end $$;
