-- The queue of the undecided by id, as far as somebody was asked and could not say: of a million prepared messages these
-- few are found at once. Nothing is written to it by a prepare, nor by a submission, only when a question was in vain.
-- What nobody was asked about although its time has come is in global_transaction_check.
create index global_transaction_asked on postcommit.global_transaction (id)
  where status = 'prepared' and (asked > 0 or last_error is not null);
