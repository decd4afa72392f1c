/** What a relay answers, or does not answer, about global transactions. Part of the table in errors.ts. */
export const TRANSACTION_ERRORS = {
  POSTCOMMIT_INVALID_TRANSACTION: {
    message: 'the {mode} is not valid:\n{problems}',
    action: 'Correct what is listed. Nothing was started.',
    retryable: false,
  },
  POSTCOMMIT_INVALID_REQUEST: {
    message: 'the request to the relay cannot be read: {reason}',
    action: 'Check that service and relay are of versions that go together.',
    retryable: false,
  },
  POSTCOMMIT_UNKNOWN_TRANSACTION: {
    message: 'there is no transaction {gid}',
    action: 'Check the gid and that this is the relay it was given to. Transactions that ended are purged in time.',
    retryable: false,
  },
  POSTCOMMIT_TRANSACTION_DECIDED: {
    message: 'transaction {gid} is decided already: it is {status}',
    action: 'Accept what was decided. A transaction is decided once, by the first decision that arrives.',
    retryable: false,
  },
  POSTCOMMIT_GID_ABORTED: {
    message: 'gid {gid} was given up before its transaction committed',
    action: 'Nothing was written. Run the work again with another gid.',
    retryable: false,
  },
  POSTCOMMIT_RELAY_UNREACHABLE: {
    message: 'the relay {relay} did not answer: {reason}',
    action:
      'Check its address and that it is running. What it was asked may have been recorded; the same gid can be sent again.',
    retryable: true,
  },
  POSTCOMMIT_RELAY_REFUSED: {
    message: 'the relay refused: {reason}',
    action: 'Correct what it names: the API key, the address, or the version of one side.',
    retryable: false,
  },
  POSTCOMMIT_RELAY_CLIENT_CLOSED: {
    message: 'the client of the relay is closed',
    action: 'Close it when nothing uses it any more.',
    retryable: false,
  },
} as const
