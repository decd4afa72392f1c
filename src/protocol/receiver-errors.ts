/** What a receiver refuses or cannot do: signatures, inbox, barrier, subscriptions. Part of the table in errors.ts. */
export const RECEIVER_ERRORS = {
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
  POSTCOMMIT_INBOX_IN_PROGRESS: {
    message: 'another delivery of message {id} is being handled; {holder}',
    action: 'Let the error pass: the delivery comes again. End that process or session if it is stuck.',
    retryable: true,
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
} as const
