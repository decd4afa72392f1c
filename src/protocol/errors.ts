import { API_ERRORS } from './api-errors.ts'
import { CACHE_ERRORS } from './cache-errors.ts'
import { fillTemplate } from './fill-template.ts'
import { REDIS_OUTBOX_ERRORS } from './redis-outbox-errors.ts'

/**
 * Every error this project throws on purpose, in one table: a stable code, what was wrong, what to do.
 *
 * A code is public contract: `docs/errors.md` lists exactly these, and a test throws each of them. `retryable` says
 * whether the same call can succeed later without anybody changing anything.
 */
export const ERRORS = {
  POSTCOMMIT_INVALID_GID: {
    message: 'gid {gid} is not a valid global transaction id',
    action: 'Use 1 to 64 characters of A-Z a-z 0-9 _ and -, or leave it out and let commit() draw one.',
    retryable: false,
  },
  POSTCOMMIT_INVALID_SUBJECT: {
    message: 'topic {topic} is not a valid NATS subject for a message: {reason}',
    action: 'Use tokens of A-Z a-z 0-9 _ and - joined by single dots, at most 16 of them and 255 characters.',
    retryable: false,
  },
  POSTCOMMIT_INVALID_DESTINATION: {
    message: 'destination {destination} is not a valid destination name',
    action: 'Name a destination of the relay configuration: a-z 0-9 and -, starting with a letter, not "nats".',
    retryable: false,
  },
  POSTCOMMIT_INVALID_PATH: {
    message: 'path {path} is not a valid path for a call: {reason}',
    action: 'Give an absolute path such as /deduct; the host is the configured one of the destination.',
    retryable: false,
  },
  POSTCOMMIT_INVALID_KEY: {
    message: 'ordering key is invalid: {reason}',
    action: 'Use a well-formed string of 1 to 255 characters without control characters.',
    retryable: false,
  },
  POSTCOMMIT_INVALID_HEADER: {
    message: 'header {header} is invalid: {reason}',
    action: 'Names: 1 to 64 of a-z 0-9 and -, at most 32, none reserved. Values: visible ASCII, at most 1024 bytes.',
    retryable: false,
  },
  POSTCOMMIT_INVALID_PAYLOAD: {
    message: 'payload of {target} cannot be sent as it is: {reason}',
    action: 'Pass a JSON value (Dates become ISO strings) or a Uint8Array. Nothing was written.',
    retryable: false,
  },
  POSTCOMMIT_PAYLOAD_TOO_LARGE: {
    message: 'payload of {target} is {bytes} bytes; the limit is {limit}',
    action: 'Send a reference instead of the content, or raise payloadBytesMax (hard limit 921600).',
    retryable: false,
  },
  POSTCOMMIT_SCHEMA_MISMATCH: {
    message: 'payload of {target} does not match its schema: {issues}',
    action: 'Correct the payload or the schema given to createOutbox({ messages }). Nothing was written.',
    retryable: false,
  },
  POSTCOMMIT_UNKNOWN_MESSAGE: {
    message: 'topic {topic} is not among the messages given to createOutbox',
    action: 'Add its schema to createOutbox({ messages }), or correct the name.',
    retryable: false,
  },
  POSTCOMMIT_INVALID_DELAY: {
    message: 'deliverAfter {value} is not a delay: {reason}',
    action: 'Give milliseconds from 0 to one year, or a Date within one year.',
    retryable: false,
  },
  POSTCOMMIT_TOO_MANY_MESSAGES: {
    message: 'one transaction collected {count} messages; the limit is {limit}',
    action: 'Commit in several transactions, or send one message that names the whole batch.',
    retryable: false,
  },
  POSTCOMMIT_INVALID_OPTIONS: {
    message: '{function} was given invalid options: {reason}',
    action: 'See the documentation of {function} for what it accepts.',
    retryable: false,
  },
  POSTCOMMIT_MESSAGE_CLOSED: {
    message: 'a message was added after its transaction had been written',
    action: 'Await everything inside the work function; add messages before it returns.',
    retryable: false,
  },
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
    message: 'the outbox of {database} was written by another PostgreSQL cluster (a restored dump?)',
    action: 'Its transaction ids mean nothing here. Run: postcommit rebase',
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
    action: 'Create the stream, or name it under nats.streams with create: true.',
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
  POSTCOMMIT_SIGNATURE_MISSING: {
    message: 'the request carries no signature: {header} is missing',
    action: 'Give the destination the same secret in the relay configuration.',
    retryable: false,
  },
  POSTCOMMIT_SIGNATURE_INVALID: {
    message: 'the signature of the request does not fit: {reason}',
    action: 'Check that both sides have the same secret and that nothing re-serialises the body.',
    retryable: false,
  },
  POSTCOMMIT_TIMESTAMP_OUT_OF_RANGE: {
    message: 'the request was signed {seconds} s away from now; {tolerance} s are allowed',
    action: 'Check the clocks of both hosts; an old request may also be a replay.',
    retryable: false,
  },
  POSTCOMMIT_INVALID_SECRET: {
    message: 'the signing secret is not valid: {reason}',
    action: 'Use whsec_ followed by the base64 of 24 to 64 random bytes.',
    retryable: false,
  },
  POSTCOMMIT_INVALID_DELIVERY: {
    message: 'the message is not one that postcommit sent: {reason}',
    action: 'Point the subscriber at a stream that only the relay publishes to.',
    retryable: false,
  },
  POSTCOMMIT_INBOX_ID_REUSED: {
    message: 'message {id} was handled before with other content by consumer {consumer}',
    action: 'Message ids must be unique; look for a second sender on this subject.',
    retryable: false,
  },
  POSTCOMMIT_INBOX_COMMIT_UNKNOWN: {
    message: 'the connection was lost during COMMIT of delivery {id}; whether it took effect is not known',
    action: 'Let the error pass: the delivery comes again and is answered as a duplicate if it stands.',
    retryable: true,
  },
  POSTCOMMIT_INVALID_BRANCH: {
    message: 'the request does not say which branch it is for: {reason}',
    action: 'Pass the headers and the URL as they arrived. Requests of other callers than the relay have no barrier.',
    retryable: false,
  },
  POSTCOMMIT_BRANCH_IN_PROGRESS: {
    message: 'another transaction is at branch {branch} of {gid} and has not ended',
    action: 'Answer 425; the relay asks again. Nothing was run.',
    retryable: true,
  },
  POSTCOMMIT_BRANCH_COMMIT_UNKNOWN: {
    message: 'the database did not say whether branch {branch} of {gid} was committed',
    action: 'Answer 500; the next call finds out and runs the work at most once.',
    retryable: true,
  },
  POSTCOMMIT_DELIVERY_MISMATCH: {
    message: 'delivery {id} does not fit the schema of its consumer: {issues}',
    action: 'Correct the schema or the producer; the message itself cannot change any more.',
    retryable: false,
  },
  POSTCOMMIT_CONSUMER_MISMATCH: {
    message: 'JetStream consumer {durable} of stream {stream} cannot be used: {reason}',
    action: 'Subscribe with the options it was created with, choose another durable, or delete the consumer.',
    retryable: false,
  },
  POSTCOMMIT_CONSUMER_UNAVAILABLE: {
    message: 'JetStream consumer {durable} of stream {stream} cannot be reached: {reason}',
    action: 'The subscription keeps trying. Check that the stream exists and that the user may reach its API.',
    retryable: true,
  },
  POSTCOMMIT_DEAD_LETTER_FAILED: {
    message: 'delivery {id} could not be written to the dead letter subject {subject}: {reason}',
    action: 'It stays where it is and is tried again. Check that a stream takes messages for that subject.',
    retryable: true,
  },
  POSTCOMMIT_CONNECTION_CLOSED: {
    message: 'the NATS connection of subscription {durable} was closed; nothing is received any more',
    action: 'Stop the subscription before closing the connection, and connect with maxReconnectAttempts: -1.',
    retryable: false,
  },
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
    action: 'Accept what was decided. A transaction is decided once, by whoever comes first.',
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
  ...API_ERRORS,
  ...CACHE_ERRORS,
  ...REDIS_OUTBOX_ERRORS,
} as const satisfies Record<string, { message: string; action: string; retryable: boolean }>

/** A code of the table {@link ERRORS}. */
export type ErrorCode = keyof typeof ERRORS

// A name in braces is a placeholder; `{ messages }` with its spaces is code in the text.
type Placeholders<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? (Name extends `${string} ${string}` ? never : Name) | Placeholders<Rest>
  : never

type DetailsOf<Code extends ErrorCode> = Record<
  Placeholders<(typeof ERRORS)[Code]['message'] | (typeof ERRORS)[Code]['action']>,
  string | number
>

type DetailsArgument<Code extends ErrorCode> = keyof DetailsOf<Code> extends never
  ? [details?: Record<never, never>, options?: PostcommitErrorOptions]
  : [details: DetailsOf<Code>, options?: PostcommitErrorOptions]

/** What an error carries besides its text. */
export interface PostcommitErrorOptions {
  /** What went wrong underneath. */
  readonly cause?: unknown
  /** The global transaction the error is about. */
  readonly gid?: string
}

const BRAND = Symbol.for('postcommit.error')

/**
 * The one error class. Branch on {@link PostcommitError.code}; the text is for people and may change.
 *
 * `instanceof` holds across two installed copies of the package, because the class is recognised by a registered
 * symbol and not by identity.
 *
 * @example
 * ```ts
 * try {
 *   await outbox.commit(placeOrder)
 * } catch (error) {
 *   if (error instanceof PostcommitError && error.code === 'POSTCOMMIT_COMMIT_UNKNOWN') await error.resolve?.()
 *   throw error
 * }
 * ```
 */
export class PostcommitError<Code extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'PostcommitError'
  /** The stable code. */
  readonly code: Code
  /** What to do about it, one or two sentences. */
  readonly action: string
  /** Whether the same call can succeed later although nobody changed anything. */
  readonly retryable: boolean
  /** The global transaction the error is about, where there is one. */
  readonly gid: string | undefined
  /**
   * Only on `POSTCOMMIT_COMMIT_UNKNOWN`: asks the database again. Resolves to `true` if the transaction is committed
   * and its messages will be delivered, `false` if it rolled back; rejects with the same code while it is unknown.
   */
  resolve?: () => Promise<boolean>

  constructor(code: Code, ...[details, options]: DetailsArgument<Code>) {
    const entry = ERRORS[code]
    const values: Record<string, string | number> = details ?? {}
    super(
      `${fillTemplate(entry.message, values)}. ${fillTemplate(entry.action, values)} (${code})`,
      options?.cause === undefined ? undefined : { cause: options.cause },
    )
    this.code = code
    this.action = fillTemplate(entry.action, values)
    this.retryable = entry.retryable
    this.gid = options?.gid
    Object.defineProperty(this, BRAND, { value: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && BRAND in value
  }
}
