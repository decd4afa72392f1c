-- What services may write is refused early where that is cheap, and postcommit.publish may be called by anything that
-- speaks SQL.
--
-- None of this is what protects: a relay reads every row as foreign input, and what it may not send is a dead letter with
-- the reason. It is here so that whoever writes such a row hears of it at once.

-- NOT VALID: rows of earlier releases stay, and the log is not read. Only the subjects of the server: every clause costs an
-- insert some 3 us, because the expression is read anew by every statement, and the whole grammar 100 us.
alter table postcommit.outbox add constraint outbox_message check (topic not like '$%') not valid;

-- Not a constraint: those are looked at again with every update, and a row of an earlier release would fail the claim of a
-- whole batch. What a relay sets aside has an error, and is not looked at: it must find room here whatever it is.
-- Entries of Redis that were set aside are applied with the relay's rights, so they come in dead, and an operator decides.
create function postcommit.refuse_delivery() returns trigger language plpgsql as $$
begin
  raise exception using errcode = 'invalid_parameter_value', constraint = 'delivery_message',
    message = 'this row is not a message that may be delivered',
    detail = format('destination %s, target %s, gid %s, branch %s', left(quote_literal(new.destination), 80),
      left(quote_literal(new.target), 80), left(quote_literal(new.gid), 80), new.branch),
    hint = 'Write it with the SDK, or see docs/moving.md for what a destination, a target, a gid and a key may be.';
end $$;

create trigger refuse_delivery before insert on postcommit.delivery for each row when (
  new.destination = 'redis-outbox' and new.state <> 'dead'
  or new.last_error is null and not (
    new.gid <> '' and new.branch >= 0 and new.target not like '$%' and isfinite(new.created_at) and isfinite(new.due_at)
  )
) execute function postcommit.refuse_delivery();

-- A legal subject made of any texts: one for each part, joined by dots. What a subject may not have becomes -, so two
-- different texts can become the same subject.
create function postcommit.subject(variadic parts text[]) returns text language sql immutable as $$
  select string_agg(coalesce(nullif(trim(both '-.' from regexp_replace(regexp_replace(part, '[^A-Za-z0-9_.-]+', '-', 'g'),
    '\.{2,}', '.', 'g')), ''), '-'), '.' order by place)
  from unnest(parts) with ordinality as given (part, place)
$$;

-- The headers that a message may have: at most 32, no name that the transport or the relay itself uses.
create function postcommit.are_headers(headers text) returns boolean language sql immutable as $$
  select json_typeof(headers::json) = 'object' and (
    select count(*) <= 32 and count(distinct name) = count(*) and coalesce(bool_and(
      json_typeof(value) = 'string' and name ~ '^[a-z0-9-]{1,64}$'
      and name !~ '^(proxy-|webhook-|postcommit-|nats-)'
      and name not in ('host', 'content-length', 'content-type', 'transfer-encoding', 'connection', 'keep-alive', 'te',
        'trailer', 'upgrade', 'expect', 'cookie', 'authorization')
      and value #>> '{}' ~ '^[ -~]*$' and octet_length(value #>> '{}') <= 1024), true)
    from json_each(case json_typeof(headers::json) when 'object' then headers::json else '{}' end) as given (name, value))
$$;

-- Says what is wrong with the arguments of postcommit.publish. Apart from it, because it runs only where something is.
create function postcommit.refuse_message(gid text, branch integer, topic text, key text, payload text, body bytea,
  headers text) returns void language plpgsql as $$
declare
  problem text[] := case
    when coalesce(gid !~ '^[A-Za-z0-9_-]{1,64}$', true) then array['gid', 'Use 1 to 64 characters of A-Z a-z 0-9 _ and -.']
    when coalesce(branch not between 0 and 999999999, true) then array['branch',
      'Number the messages of one gid from 1; gid and branch together name a message for ever.']
    when coalesce(topic !~ '^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,15}$' or octet_length(topic) > 255, true) then array['topic',
      'Use at most 16 tokens of A-Z a-z 0-9 _ and - joined by single dots; postcommit.subject() makes them of any text.']
    when topic ~ '^(_INBOX|postcommit)(\.|$)' and topic !~ '^postcommit\.cache\.[A-Za-z0-9_-]{1,64}$' then array['topic',
      'Topics that begin with $, _INBOX or postcommit are not for messages of services.']
    when key = '' or length(key) > 255 or key ~ '[\x01-\x1f\x7f-\x9f]' then array['key',
      'Use 1 to 255 characters without control characters, or null for a message without order.']
    when (payload is null) = (body is null) then array['payload', 'Give JSON text as payload or bytes as body, one of them.']
    when coalesce(octet_length(payload), octet_length(body)) > 921600 then array['payload',
      'At most 921600 bytes; send a reference instead of the content.']
    else array['headers', 'A JSON object of at most 32 lower-case names, none reserved, with visible ASCII texts as values.']
  end;
begin
  raise exception using errcode = 'invalid_parameter_value', hint = problem[2], column = problem[1],
    message = format('postcommit.publish: %s is not valid', problem[1]),
    detail = format('gid %s, branch %s, topic %s', left(quote_nullable(gid), 80), branch, left(quote_nullable(topic), 80));
end $$;

-- Writes one message that is published: for services without the SDK, for triggers (docs/moving.md), and for the SDK of
-- the release before. Returns the xid of the transaction. What it was is said in 0005-publish.sql; new is that the
-- arguments are checked before anything is drawn or locked. A payload that is not JSON fails with 22P02, all else with
-- 22023 and a hint.
create or replace function postcommit.publish(gid text, branch integer, topic text, key text default null,
  payload text default null, body bytea default null, headers text default null)
returns xid8 language plpgsql as $$
begin
  -- Lengths apart from the patterns: a count in a pattern makes it several times as slow.
  if ($1 ~ '^[A-Za-z0-9_-]+$' and octet_length($1) <= 64 and $2 between 0 and 999999999
    and $3 ~ '^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$' and octet_length($3) <= 255
    and octet_length($3) - octet_length(replace($3, '.', '')) < 16
    and ($3 !~ '^(_INBOX|postcommit)(\.|$)' or $3 ~ '^postcommit\.cache\.[A-Za-z0-9_-]{1,64}$')
    and case when $4 is null then true else length($4) between 1 and 255 and $4 !~ '[\x01-\x1f\x7f-\x9f]' end
    and case when $5 is null then octet_length($6) <= 921600
      else $6 is null and octet_length($5) <= 921600 and $5::json is not null end
    and case when $7 is null then true else postcommit.are_headers($7) end) is not true
  then
    perform postcommit.refuse_message($1, $2, $3, $4, $5, $6, $7);
  end if;
  insert into postcommit.outbox (xid, gid, branch, topic, key, slot, payload, body, headers)
  select pg_current_xact_id(), $1, $2, $3, $4, (hashtextextended(coalesce($4, $1), 0) & 63)::smallint, $5, $6, $7
  where pg_current_xact_id() is not null
    and case when $4 is null then true else pg_advisory_xact_lock(hashtextextended($4, 8107365742)) is not null end
    and case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', true) is not null else true end;
  return pg_current_xact_id();
end $$;
