/** Why a local transaction and its messages were not committed together. Part of the table in errors.ts. */
export const COMMIT_ERRORS = {
  POSTCOMMIT_NOT_IN_TRANSACTION: {
    message: 'no transaction is open here; what is written would stay even if your write rolls back',
    action: 'Wrap both in outbox.commit(), or pass the transaction that you opened. Nothing was written.',
    retryable: false,
  },
  POSTCOMMIT_TX_ABORTED: {
    message: 'the transaction had failed before its messages were written: a statement inside it was rejected',
    action: 'Do not swallow database errors inside the work function. Everything was rolled back.',
    retryable: false,
  },
  POSTCOMMIT_TX_CONTROL: {
    message: 'the work ran {statement} inside the transaction that {function} opened and will commit',
    action:
      'Use a savepoint for what may fail by itself: savepoint a … rollback to savepoint a. Nothing was committed.',
    retryable: false,
  },
  POSTCOMMIT_TX_ENDED: {
    message: 'the work ended the transaction that {function} had opened for it: {reason}',
    action: 'Let {function} commit; use a savepoint for what may fail by itself. Nothing was sent or noted.',
    retryable: false,
  },
  POSTCOMMIT_SCHEMA_MISSING: {
    message: 'the database has no schema postcommit of this release: {reason}',
    action: 'Run: postcommit migrate',
    retryable: false,
  },
  POSTCOMMIT_COMMIT_ROLLED_BACK: {
    message: 'COMMIT of {gid} did not commit: the database answered that the transaction was rolled back',
    action: 'Nothing was written and nothing will be sent. Run the work again if it should happen.',
    retryable: true,
  },
  POSTCOMMIT_COMMIT_UNKNOWN: {
    message: 'the connection was lost during COMMIT of {gid} and the database could not be asked what became of it',
    action:
      'Call error.resolve() later, or commit again with the same gid: it is answered as a duplicate if it stands.',
    retryable: true,
  },
  POSTCOMMIT_GID_CONFLICT: {
    message: 'gid {gid} has already been committed with other messages',
    action: 'Use a gid for one operation only. Nothing was written this time.',
    retryable: false,
  },
  POSTCOMMIT_GID_ALREADY_COMMITTED: {
    message: 'gid {gid} has already been committed, and running its work again failed before it could be compared',
    action:
      'Look up the result of the first commit; nothing was written this time. error.cause is what the work threw.',
    retryable: false,
  },
} as const
