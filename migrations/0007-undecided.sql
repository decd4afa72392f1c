-- Before this no question about a prepared message: the question would close the door on a transaction that has not
-- begun, whoever is in a hurry. Null: it may be asked at any time, because its transaction had begun when it was announced.
alter table postcommit.global_transaction add column ask_from timestamptz;

-- Who cannot be asked what became of prepared messages. A row for each such service, not for each of its messages: there
-- may be ten thousand, and nobody touches them while it is away.
create table postcommit.check_outage (
  destination text        collate "C" primary key,
  since       timestamptz not null default clock_timestamp(),
  last_at     timestamptz not null default clock_timestamp(),
  last_error  text        not null
);

-- In doubt is also what nobody could be asked about, and that changes with time, which no index can know. The queue is
-- read from the index of what is to be asked.
drop index postcommit.global_transaction_in_doubt;
