/** The part of the table of errors that the API of the relay answers with, or is started with. */
export const API_ERRORS = {
  POSTCOMMIT_API_EXPOSED: {
    message: 'the API would listen on {address}, beyond this host, without authentication',
    action: 'Keep api.auth at keys and create one (postcommit api-key create), or listen on 127.0.0.1.',
    retryable: false,
  },
  POSTCOMMIT_DTM_EXPOSED: {
    message: 'the protocol of DTM would be served on {address}, beyond this host, and it has no authentication',
    action: 'Listen on 127.0.0.1, or set dtm.allowExposed where a network or a proxy keeps others out.',
    retryable: false,
  },
  POSTCOMMIT_UNAUTHENTICATED: {
    message: 'the request carries no valid API key',
    action: 'Send authorization: Bearer pc_… with a key that is neither revoked nor expired.',
    retryable: false,
  },
  POSTCOMMIT_FORBIDDEN: {
    message: 'this is not allowed: {reason}',
    action: 'Use a key that has the scope: postcommit api-key create --scopes.',
    retryable: false,
  },
  POSTCOMMIT_TARGET_NOT_ALLOWED: {
    message: 'the relay sends nothing to {target}: {reason}',
    action:
      'Name a configured destination, or let an operator list addresses under coordinator.allowUrls and subjects of back-queries under coordinator.checkSubjects.',
    retryable: false,
  },
  POSTCOMMIT_UNKNOWN_ROUTE: {
    message: 'the relay has no {method} {path}',
    action: 'See /v1/openapi.json for what there is.',
    retryable: false,
  },
  POSTCOMMIT_UNSUPPORTED_MEDIA_TYPE: {
    message: 'the body of the request is not declared as JSON',
    action: 'Send content-type: application/json, and no content-encoding.',
    retryable: false,
  },
  POSTCOMMIT_REQUEST_TOO_LARGE: {
    message: 'the body of the request is longer than {limit} bytes',
    action: 'Send fewer operations at once, or a reference instead of the content.',
    retryable: false,
  },
  POSTCOMMIT_RELAY_UNAVAILABLE: {
    message: 'the relay cannot serve this now: {reason}',
    action: 'Send it again, with the same gid; it may have been recorded.',
    retryable: true,
  },
  POSTCOMMIT_RATE_LIMITED: {
    message: 'the tenant of this key asks for more than {limit} operations a second',
    action: 'Send it again after what retry-after says; nothing was carried out. The limit is api.operationsPerSecond.',
    retryable: true,
  },
  POSTCOMMIT_TOO_MANY_LISTENERS: {
    message: 'this relay has {limit} listeners to its events, and takes no more',
    action: 'Close one, or listen at another relay: each of them tells the events of all.',
    retryable: true,
  },
  POSTCOMMIT_UNKNOWN_SOURCE: {
    message: 'this relay has no source database {source}; it has {known}',
    action: 'Name one that it serves, with the parameter source.',
    retryable: false,
  },
  POSTCOMMIT_MESSAGE_NOT_FOUND: {
    message: 'no message of {message} is known: its transaction did not commit here, or retention has passed',
    action: 'Check the gid. A message that is older than the retention is not kept.',
    retryable: false,
  },
  POSTCOMMIT_SOURCE_UNREADABLE: {
    message: 'the source database {source} cannot be read now',
    action: 'Send it again later. The log of the relay says why, under the request id.',
    retryable: true,
  },
  POSTCOMMIT_QUERY_TOO_SLOW: {
    message: 'the source database {source} took longer than {limitMs} ms to answer, and the query was ended',
    action: 'Filter by gid or by state, or ask for a smaller page.',
    retryable: true,
  },
  POSTCOMMIT_INTERNAL: {
    message: 'the relay failed in a way that it does not know',
    action: 'Look for the request id {requestId} in its log, and report it.',
    retryable: true,
  },
  POSTCOMMIT_CANNOT_RESOLVE: {
    message: 'transaction {gid} cannot be resolved as {outcome}: {reason}',
    action: 'Look at it with: postcommit transaction show. Choose an outcome that its state allows.',
    retryable: false,
  },
  POSTCOMMIT_UNKNOWN_TOPIC: {
    message: 'there is no topic {topic}, or it has no such target',
    action: 'Topics come into being with their first subscription.',
    retryable: false,
  },
  POSTCOMMIT_TOPIC_CHANGED: {
    message: 'topic {topic} is not at version {version} any more',
    action: 'Read it again, and decide with what it holds now.',
    retryable: false,
  },
} as const
