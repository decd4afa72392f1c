/** What a service gives to a message that cannot be sent as it is. Part of the table in errors.ts. */
export const MESSAGE_ERRORS = {
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
} as const
