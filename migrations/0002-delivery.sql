-- What has a fate of its own: calls to handlers, delayed publishes, and publishes set aside because the broker
-- refused their subject or because an earlier message of their key is set aside.
create table postcommit.delivery (
  -- Drawn from the log's sequence, so calls, delayed and parked messages share one order with the log.
  id            bigint      primary key default nextval('postcommit.outbox_id'),
  gid           text        not null,
  branch        integer     not null,
  -- The configured name of a destination; 'nats' is the broker.
  destination   text        not null,
  -- The subject for 'nats', the path for an HTTP destination, the name for a handler in the relay's own process.
  target        text        not null,
  -- Deliveries of one destination and key happen one after the other in the order of id. Null: no order.
  key           text,
  slot          smallint    not null,
  payload       text,
  body          bytea,
  headers       text,
  -- pending: due at due_at, unless it is claimed until lease_until
  -- held: behind an earlier row of its key · confirmed · dead: out of attempts or refused, waits for a person
  -- discarded: given up by a person, who is named in postcommit.attempt
  state         text        not null default 'pending',
  due_at        timestamptz not null default clock_timestamp(),
  attempts      integer     not null default 0,
  -- Drawn anew at every claim; the result of a claim is only written where it still stands.
  lease_token   uuid,
  lease_owner   bigint,
  lease_until   timestamptz,
  last_error    text,
  last_status   integer,
  created_at    timestamptz not null default clock_timestamp(),
  settled_at    timestamptz,
  constraint delivery_one_body check ((payload is null) <> (body is null)),
  constraint delivery_state check (state in ('pending', 'held', 'confirmed', 'dead', 'discarded')),
  constraint delivery_settled check ((settled_at is null) = (state in ('pending', 'held', 'dead'))),
  constraint delivery_lease check (num_nulls(lease_token, lease_owner, lease_until) in (0, 3)),
  constraint delivery_lease_pending check (lease_token is null or state = 'pending')
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- Claims: the oldest due rows of one destination.
create index delivery_due on postcommit.delivery (destination, due_at, id) where state = 'pending';
-- Is there an earlier row of this key that is not settled? Also finds the next row to release.
create index delivery_head on postcommit.delivery (destination, key, id)
  where key is not null and state in ('pending', 'held', 'dead');
-- Which keys wait? Small: only rows that were found behind another. For the sweep of releaseHeld.
create index delivery_held on postcommit.delivery (destination, key, id) where state = 'held';
create index delivery_dead on postcommit.delivery (id) where state = 'dead';
-- Gids are random and only asked for whole: a hash takes a confirmation 13 µs where a B-tree takes 16.
create index delivery_gid on postcommit.delivery using hash (gid);
create index delivery_settled_at on postcommit.delivery (settled_at) where settled_at is not null;

-- What was claimed by one statement, so that claims can be taken back without an index over them. A claim changes no
-- indexed column of `delivery` and finds room on the row's own page (fillfactor), which makes it a HOT update: 12 µs of
-- PostgreSQL a row instead of 22, and 1,030 bytes of WAL for claim and confirmation instead of 1,780.
create table postcommit.claim (
  token       uuid        primary key,
  relay       bigint      not null,
  until       timestamptz not null,
  -- Those whose lease_token is no longer the token are settled, or somebody else's.
  deliveries  bigint[]    not null
);
-- When does the next claim run out?
create index claim_until on postcommit.claim (until);

-- The story of a delivery: failed attempts, and everything a person did to it.
create table postcommit.attempt (
  id          bigint      generated always as identity primary key,
  delivery_id bigint      not null references postcommit.delivery (id) on delete cascade,
  at          timestamptz not null default clock_timestamp(),
  -- failed · unavailable (burnt no attempt) · dead · requeued · discarded
  event       text        not null,
  attempt     integer     not null,
  duration_ms integer,
  status      integer,
  -- For a person's act: what they gave as the reason.
  detail      text,
  -- Which relay, or which person.
  actor       text        not null,
  constraint attempt_event check (event in ('failed', 'unavailable', 'dead', 'requeued', 'discarded'))
);
create index attempt_delivery on postcommit.attempt (delivery_id);
