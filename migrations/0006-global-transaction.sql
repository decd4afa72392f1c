-- Transactions that span more than one service: two-phase messages, sagas, TCC, XA, workflows. A row for each of them,
-- and a row for every call that it may need. In a database of the relay's own, or in that of a service.

-- cache 1: the order of ids is the order of the pages that people leaf through.
create sequence postcommit.global_transaction_id as bigint cache 1;

create table postcommit.global_transaction (
  -- Drawn by the statement that inserts, which needs it for the branches as well.
  id                bigint      primary key,
  tenant            text        collate "C" not null,
  gid               text        collate "C" not null,
  mode              text        not null,
  status            text        not null,
  -- Who calls the actions: the relay, or a client that registers each before it calls it. TCC, XA and workflows are
  -- always the client's, messages always the relay's.
  run_by            text        not null default 'relay',
  -- Messages of one key are delivered one after the other, in the order of id. Null: no order.
  key               text        collate "C",
  -- In whose words the branches are called and the answers read: v1 (ours) or dtm.
  dialect           text        not null default 'v1',
  protocol          text        not null default 'http',
  -- SHA-256 of what was handed in; the same gid with other content is a conflict, not a repetition.
  digest            text        not null,
  -- Whom to ask about a prepared message: the name that limits and breakers go by. Empty: nobody, a deadline decides.
  check_destination text        collate "C" not null default '',
  -- The address or the path of that question, as it was handed in.
  check_target      text,
  -- JSON as it was handed in: time limits, retries, headers. Never searched, so never jsonb.
  options           text,
  custom_data       text,
  ext_data          text,
  result            text,
  rollback_reason   text,
  -- Counts the starts and ends of branches: the happened-before by which they are undone.
  seq               integer     not null default 0,
  -- How many rows of postcommit.branch belong here. A reader who finds fewer has an old snapshot and reads again.
  op_count          integer     not null,
  -- When a prepared one is given up, for those modes that a deadline decides.
  deadline          timestamptz,
  -- prepared: when to ask, or the deadline · submitted, aborting: when to go on, and until when the claim holds
  -- · finished: when it was last due · paused: infinity
  due_at            timestamptz not null,
  -- The waiting time that led to due_at, for the next, longer one.
  backoff_ms        integer,
  -- Questions without a verdict while it is prepared.
  asked             integer     not null default 0,
  last_error        text,
  -- Drawn anew at every claim; what a claim led to is only written where it still stands.
  lease_token       uuid,
  lease_owner       bigint,
  paused_reason     text,
  created_at        timestamptz not null default clock_timestamp(),
  updated_at        timestamptz not null default clock_timestamp(),
  finished_at       timestamptz,
  constraint global_transaction_gid unique (tenant, gid),
  constraint global_transaction_mode check (mode in ('msg', 'saga', 'tcc', 'xa', 'workflow')),
  constraint global_transaction_status check (status in ('prepared', 'submitted', 'aborting', 'succeed', 'failed')),
  constraint global_transaction_run_by check (
    run_by in ('relay', 'client') and (mode = 'saga' or (run_by = 'relay') = (mode = 'msg'))),
  constraint global_transaction_finished check ((finished_at is null) = (status in ('prepared', 'submitted', 'aborting'))),
  constraint global_transaction_lease check ((lease_token is null) = (lease_owner is null)),
  constraint global_transaction_lease_unfinished check (lease_token is null or finished_at is null)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

alter sequence postcommit.global_transaction_id owned by postcommit.global_transaction.id;

-- Claims of what runs: the oldest due first. Holds unfinished rows only. There is no index on lease_owner: burying a
-- relay may read all of this one, but every claim would have to write the other.
create index global_transaction_due on postcommit.global_transaction (due_at, id)
  where status in ('submitted', 'aborting');
-- Claims of what is asked, each destination by its own free slots: ten thousand questions to a service that is away
-- stand in nobody's way.
create index global_transaction_check on postcommit.global_transaction (check_destination, due_at, id)
  where status = 'prepared';
-- Is there an earlier message of this key that is not settled?
create index global_transaction_head on postcommit.global_transaction (tenant, key, id)
  where key is not null and finished_at is null;
-- The queue of the undecided.
create index global_transaction_in_doubt on postcommit.global_transaction (id)
  where status = 'prepared' and asked > 0;

-- A call that a transaction may need: one row for each branch and op. Written with its transaction, or registered
-- while that is prepared. No foreign key: it would cost every row a trigger and a lock on its transaction, and the
-- only statements that insert or delete here write both tables.
create table postcommit.branch (
  transaction_id bigint      not null,
  branch         text        collate "C" not null,
  op             text        collate "C" not null,
  -- The order in which they were handed in.
  place          integer     not null,
  status         text        not null default 'prepared',
  -- A configured name with a path, a subject, a topic or an address: what the dialect calls a target. Empty: no call.
  target         text        not null,
  -- Exactly the bytes that are sent, as in postcommit.outbox. Both null: an empty body.
  payload        text,
  body           bytea,
  -- JSON as it was handed in: headers, time limit, pivot, and the like.
  options        text,
  -- The branches that must be done before. Null: by the rule of the mode.
  after          text[],
  -- What the step means for a saga: undo, pivot, forward. Null: undo.
  recovery       text,
  start_seq      integer,
  end_seq        integer,
  -- Calls begun, and calls that ended without a decision.
  calls          integer     not null default 0,
  attempts       integer     not null default 0,
  -- A call is under way, and given up for lost then.
  lease_until    timestamptz,
  -- Null: as soon as its turn comes.
  due_at         timestamptz,
  -- What became of the latest call.
  last_status    integer,
  last_error     text,
  duration_ms    integer,
  result         bytea,
  created_at     timestamptz not null default clock_timestamp(),
  updated_at     timestamptz not null default clock_timestamp(),
  finished_at    timestamptz,
  primary key (transaction_id, branch, op),
  constraint branch_one_body check (payload is null or body is null),
  constraint branch_status check (status in ('prepared', 'succeed', 'failed')),
  constraint branch_recovery check (recovery in ('undo', 'pivot', 'forward')),
  constraint branch_finished check ((finished_at is null) = (status = 'prepared'))
-- No index holds anything that changes, so with room in the page an outcome is a HOT update.
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- The story of a transaction: calls and questions that failed, and everything a person did to it. What succeeded at
-- once is told by its own row.
create table postcommit.branch_attempt (
  id             bigint      generated always as identity primary key,
  transaction_id bigint      not null,
  -- Null: the transaction itself.
  branch         text,
  op             text,
  at             timestamptz not null default clock_timestamp(),
  -- failed · ongoing · unavailable (burnt no attempt) · refused (a Failure) · asked (no verdict)
  -- · alarm (a verdict that contradicts the decision) · stopped, resolved, paused, resumed, retried: by a person
  event          text        not null,
  attempt        integer     not null,
  duration_ms    integer,
  status         integer,
  -- For a person's act: what they gave as the reason.
  detail         text,
  -- Which relay, or which person.
  actor          text        not null,
  constraint branch_attempt_event check (event in ('failed', 'ongoing', 'unavailable', 'refused', 'asked', 'alarm',
    'stopped', 'resolved', 'paused', 'resumed', 'retried'))
);
create index branch_attempt_transaction on postcommit.branch_attempt (transaction_id);

-- A name for several targets. Its subscriptions are read when a branch runs, not when it is handed in.
create table postcommit.topic (
  id         bigint      generated always as identity unique,
  tenant     text        collate "C" not null,
  name       text        collate "C" not null,
  -- Raised by every change: whoever edits says which version they saw.
  version    bigint      not null default 1,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant, name)
);

create table postcommit.subscription (
  -- The order of subscriptions is the order of the branches.
  id         bigint      generated always as identity primary key,
  tenant     text        collate "C" not null,
  topic      text        collate "C" not null,
  target     text        not null,
  remark     text        not null default '',
  created_at timestamptz not null default clock_timestamp(),
  unique (tenant, topic, target),
  foreign key (tenant, topic) references postcommit.topic (tenant, name) on delete cascade
);

create table postcommit.api_key (
  -- The public half: what logs and people call the key.
  id         text        primary key,
  -- SHA-256 of the secret half, which is stored nowhere.
  digest     bytea       not null,
  tenant     text        not null,
  scopes     text[]      not null,
  label      text        not null default '',
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  revoked_at timestamptz,
  constraint api_key_digest check (octet_length(digest) = 32)
);
