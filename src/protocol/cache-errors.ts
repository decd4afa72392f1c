/** What can be wrong with a cache; part of the one table `ERRORS`. */
export const CACHE_ERRORS = {
  POSTCOMMIT_INVALID_CACHE_KEY: {
    message: 'key of cache {cache} is invalid: {reason}',
    action: 'Let key() give a well-formed string of 1 to 180 characters without control characters.',
    retryable: false,
  },
  POSTCOMMIT_UNSUITABLE_CACHE_VALUE: {
    message: 'what was loaded for {key} cannot be cached: {reason}',
    action: 'Let load() give a JSON value that the schema accepts after it was written as JSON, or null.',
    retryable: false,
  },
  POSTCOMMIT_CACHE_SWITCH_REFUSED: {
    message: 'the cache was not switched: {reason}',
    action: 'Down: reads first, then invalidations. Up: invalidations first, then reads. Pass force if you must.',
    retryable: true,
  },
  POSTCOMMIT_CACHE_SWITCH_PENDING: {
    message: 'the switch is set, and was not acknowledged within {timeoutMs} ms by {processes}',
    action: 'Wait and call it again; a process that died counts no longer once its attendance has run out.',
    retryable: true,
  },
  POSTCOMMIT_CACHE_UNREACHABLE: {
    message: 'the store of the cache cannot be reached: {reason}',
    action: 'Reads go on from the database. Look at the connection that the store was given.',
    retryable: true,
  },
  POSTCOMMIT_CACHE_STREAM_MISSING: {
    message: 'the stream {stream} of the invalidations is not there, so none are applied here',
    action:
      'See that a relay runs with nats.cacheStream: it makes POSTCOMMIT_CACHE, again if it is gone. Or make one that takes postcommit.cache.>',
    retryable: true,
  },
  POSTCOMMIT_CACHE_INCONSISTENT: {
    message: 'what is cached under {key} is not what the database holds',
    action: 'Find what changes it without an invalidation (watchTable sees every write), or loads it from a replica.',
    retryable: false,
  },
  POSTCOMMIT_CACHE_BUCKET_UNSUITABLE: {
    message: 'bucket {bucket} cannot keep a cache: {reason}',
    action: 'Name another bucket, which is made as it must be, or correct the stream KV_{bucket}.',
    retryable: false,
  },
  POSTCOMMIT_CACHE_CLOSED: {
    message: 'the cache was closed',
    action: 'Close it when nothing reads from it any more.',
    retryable: false,
  },
} as const
