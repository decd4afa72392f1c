-- What a service writes at the end of a transaction that it opened carries the identity of that transaction, and refuses
-- to be written anywhere else. If the work has ended the transaction, a statement by itself would commit: messages without
-- the rows they tell of. A look after it would come too late.

-- Refuses unless this is the transaction that was opened under `begun`: the setting is local to it, and gone with its end.
-- Null: there is nothing to compare with. Returns the xid of the transaction, null if it has written nothing.
create function postcommit.assert_transaction(begun text) returns xid8 language plpgsql as $$
begin
  if begun <> coalesce(current_setting('postcommit.transaction', true), '') then
    raise exception using errcode = 'PC001', message = 'the transaction that was opened for this statement has ended',
      hint = 'Use a savepoint for what may fail by itself.';
  end if;
  return pg_current_xact_id_if_assigned();
end $$;

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
-- A function, because its statements are then planned once a session, also behind a transaction pooler, and because it
-- is the one place that writes several messages for services, relays and the entries of outboxes in Redis.
create function postcommit.write_messages(
  begun text, gids text[], branches integer[], destinations text[], targets text[], keys text[], headers text[],
  payloads text[], bodies bytea[], delays_ms float8[], due_ats timestamptz[]
) returns xid8 language plpgsql as $$
begin
  perform postcommit.assert_transaction(begun), pg_current_xact_id();
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;
  perform pg_advisory_xact_lock(ordered.lock) from (
    select distinct hashtextextended(m.key, 8107365742) as lock from unnest($6) as m (key) where m.key is not null order by 1
  ) ordered;
  insert into postcommit.outbox (xid, gid, branch, topic, key, slot, payload, body, headers)
  select pg_current_xact_id(), m.gid, m.branch, m.target, m.key,
    (hashtextextended(coalesce(m.key, m.gid), 0) & 63)::smallint, m.payload, m.body, m.headers
  from unnest($2, $3, $4, $5, $6, $7, $8, $9) with ordinality
    as m (gid, branch, destination, target, key, headers, payload, body, position)
  where m.destination is null order by m.position;
  insert into postcommit.delivery (gid, branch, destination, target, key, slot, payload, body, headers, due_at)
  select m.gid, m.branch, m.destination, m.target, m.key,
    (hashtextextended(coalesce(m.key, m.gid), 0) & 63)::smallint, m.payload, m.body, m.headers,
    coalesce(m.due_at, clock_timestamp() + coalesce(m.delay_ms, 0) * interval '1 millisecond')
  from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11) with ordinality
    as m (gid, branch, destination, target, key, headers, payload, body, delay_ms, due_at, position)
  where m.destination is not null order by m.position;
  return pg_current_xact_id();
end $$;

-- The same for one message that is published, which most transactions write, in one statement: see 0005-publish.sql for
-- what each condition is for. Here the identity of the transaction is one more, and looked at first.
create function postcommit.write_message(
  begun text, gid text, branch integer, topic text, key text, payload text, body bytea, headers text
) returns xid8 language plpgsql as $$
begin
  if begun <> coalesce(current_setting('postcommit.transaction', true), '') then
    perform postcommit.assert_transaction(begun);
  end if;
  insert into postcommit.outbox (xid, gid, branch, topic, key, slot, payload, body, headers)
  select pg_current_xact_id(), $2, $3, $4, $5, (hashtextextended(coalesce($5, $2), 0) & 63)::smallint, $6, $7, $8
  where pg_current_xact_id() is not null
    and case when $5 is null then true else pg_advisory_xact_lock(hashtextextended($5, 8107365742)) is not null end
    and case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', true) is not null else true end;
  return pg_current_xact_id();
end $$;
