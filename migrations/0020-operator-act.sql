-- What operators did to dead letters, by a command or over the API: one row an act, however many messages it was about.
-- The statement that changes the messages writes it, so neither is there without the other. It grows with what operators
-- do, not with what services send, so it has no retention.
create table postcommit.operator_act (
  id        bigint      generated always as identity primary key,
  -- Drawn by the program that acts: an act of several batches is one row, whose count each batch raises.
  token     uuid        not null unique,
  at        timestamptz not null default clock_timestamp(),
  act       text        not null,
  -- The name of the key or of the operator, and the reason that was given.
  actor     text        not null,
  reason    text        not null,
  -- Which messages were asked for: {"messages": [...]}, {"filter": {...}} or {"all": true}.
  selection jsonb       not null,
  -- How many were changed so far.
  messages  bigint      not null,
  constraint operator_act_act check (act in ('requeue', 'discard'))
);
