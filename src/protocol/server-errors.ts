/** What stops a relay: databases, schema, configuration, servers, streams. Part of the table in errors.ts. */
export const SERVER_ERRORS = {
  POSTCOMMIT_UNSAFE_DURABILITY: {
    message: 'the database does not keep what it commits: {reason}',
    action: 'Set fsync = on and full_page_writes = on in postgresql.conf and restart PostgreSQL.',
    retryable: false,
  },
  POSTCOMMIT_NOT_PRIMARY: {
    message: 'the database {database} is a standby; it sees commits late and in another order',
    action: 'Point the relay at the primary.',
    retryable: true,
  },
  POSTCOMMIT_UNSUPPORTED_SERVER: {
    message: '{server} {version} is too old; {minimum} or newer is needed',
    action: 'Upgrade {server}.',
    retryable: false,
  },
  POSTCOMMIT_MIGRATION_PENDING: {
    message: 'the schema of {database} is at {found}, this version needs {needed}',
    action: 'Run: postcommit migrate',
    retryable: false,
  },
  POSTCOMMIT_MIGRATION_LOCKED: {
    message: '{what} could not be applied to {database}: a lock that it needs stayed taken',
    action:
      'See who has a transaction open (postcommit doctor), end it or wait for it, and run postcommit migrate again.',
    retryable: true,
  },
  POSTCOMMIT_SCHEMA_TOO_NEW: {
    message: 'the schema of {database} is at {found}, which this version ({needed}) cannot serve',
    action: 'Run a newer relay: npm install @postcommit/relay@latest',
    retryable: false,
  },
  POSTCOMMIT_MIGRATION_CHANGED: {
    message: 'migration {name} of {database} is not the one that was applied there',
    action: 'Restore the migration file; migrations are never edited, a correction is a new one.',
    retryable: false,
  },
  POSTCOMMIT_RESTORED_DATABASE: {
    message: 'the outbox of {database} was written in {origin} (a restored dump, a copy, pg_upgrade?)',
    action: 'Its positions mean nothing here. Stop its relays and run: postcommit rebase',
    retryable: false,
  },
  POSTCOMMIT_COPIED_DATABASE: {
    message: 'the database {database} was at {former} before, and the broker has nothing of what it published there',
    action:
      'Publishing all that is kept again is for you to decide. Of a copy, or of a new broker: postcommit rebase publishes what was waiting; with --since, what is younger as well.',
    retryable: false,
  },
  POSTCOMMIT_INVALID_CONFIG: {
    message: 'the configuration is not valid:\n{problems}',
    action: 'Run: postcommit check-config',
    retryable: false,
  },
  POSTCOMMIT_DATABASE_UNREACHABLE: {
    message: 'cannot connect to the database {database}: {reason}',
    action: 'Check its address (postcommit check-config shows where it comes from) and that PostgreSQL is running.',
    retryable: true,
  },
  POSTCOMMIT_LISTEN_FAILED: {
    message: 'cannot listen on {address}: {reason}',
    action: 'Set {server}.host and {server}.port; port 0 takes a free one.',
    retryable: false,
  },
  POSTCOMMIT_SERVER_NOT_FOUND: {
    message: 'no {server} was found on this machine: {reason}',
    action: '{install}',
    retryable: false,
  },
  POSTCOMMIT_SERVER_IN_USE: {
    message: 'the {server} in {folder} is in use by process {pid}',
    action: 'End that process, or use another folder.',
    retryable: true,
  },
  POSTCOMMIT_SERVER_DATA_UNSUITABLE: {
    message: 'the data in {folder} cannot be opened by {server} {version}: {reason}',
    action: 'Install the version that wrote it, or delete the folder to start empty.',
    retryable: false,
  },
  POSTCOMMIT_SERVER_START_FAILED: {
    message: '{server} did not start: {reason}',
    action: 'See {log}, or set {variable} to the URL of a server that runs already.',
    retryable: true,
  },
  POSTCOMMIT_STREAM_MISSING: {
    message: 'no JetStream stream takes messages for {subject}',
    action:
      'Create the stream, or name it under nats.streams with create: true: a running relay makes it within half a minute.',
    retryable: true,
  },
  POSTCOMMIT_STREAM_UNSUITABLE: {
    message: 'JetStream stream {stream} is not safe to publish to: {reason}',
    action: 'Change the stream, or the configuration, as the reason says.',
    retryable: false,
  },
  POSTCOMMIT_FENCED: {
    message: 'this relay lost its lease on {what} and stopped writing to it',
    action: 'Nothing to do: another relay has taken over. Frequent takeovers mean that the process is starved.',
    retryable: true,
  },
} as const
