/** What can be wrong with an outbox in Redis; part of the one table `ERRORS`. */
export const REDIS_OUTBOX_ERRORS = {
  POSTCOMMIT_BARRIER_TOO_SHORT: {
    message: 'the barrier of {name} lives {ttlMs} ms, which is not longer than its horizon of {horizonMs} ms',
    action: 'Raise barrierTtl, or lower horizon if no call is repeated and nothing given back for that long.',
    retryable: false,
  },
  POSTCOMMIT_KEYS_IN_TWO_SLOTS: {
    message: 'key {key} is not in the hash slot of {name}; a script cannot reach both. Nothing was sent',
    action: 'Give every key the hash tag of the outbox, as in {example}.',
    retryable: false,
  },
  POSTCOMMIT_STOCK_STORE_LOST: {
    message: 'nothing is sold of {key} of {name}: {reason}',
    action: 'The sale stands still, and this is not "sold out". Find out what Redis has lost, then call reopen().',
    retryable: false,
  },
  POSTCOMMIT_STOCK_OPENED_OTHERWISE: {
    message: '{key} of {name} was opened before with {units} units',
    action: 'Open it with as many, or choose another name for another sale.',
    retryable: false,
  },
  POSTCOMMIT_REDIS_UNSUITABLE: {
    message: 'this Redis cannot carry the outbox {name}: {reason}',
    action: 'Use Redis 6.2 or newer with maxmemory-policy noeviction.',
    retryable: false,
  },
  POSTCOMMIT_UNKNOWN_DEDUCTION: {
    message: 'nothing is known of a deduction {gid} in {name}',
    action: 'Give back what deduct() answered with, within the barrierTtl after it.',
    retryable: false,
  },
} as const
