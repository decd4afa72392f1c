import { PostcommitError } from '../protocol/errors.ts'
import { STOCK_KEY } from '../protocol/redis-entry.ts'

/** The keys of one outbox in Redis; all in the slot of its hash tag. */
export interface OutboxKeys {
  readonly name: string
  /** A hash: the units of each stock, the epoch, and why nothing is sold. One key, so that all of it is lost or none. */
  readonly stock: string
  /** A stream: what was done and is not yet applied. */
  readonly stream: string
  /** What was done under a gid, for as long as it can be repeated. */
  barrier(gid: string): string
}

/** The keys of the outbox `name`. */
export function outboxKeys(name: string): OutboxKeys {
  const tag = `{${name}}:postcommit:`
  return { name, stock: `${tag}stock`, stream: `${tag}entries`, barrier: (gid) => `${tag}once:${gid}` }
}

/**
 * Refuses what is not the name of a stock.
 * @throws `POSTCOMMIT_KEYS_IN_TWO_SLOTS` for a key of another hash slot, `POSTCOMMIT_INVALID_OPTIONS`.
 */
export function checkStockKey(name: string, caller: string, key: string): void {
  if (STOCK_KEY.test(key)) return
  if (tagOf(key) !== undefined) refuseForeignTag(name, key)
  const reason = `key ${JSON.stringify(key)} is not 1 to 64 of A-Z a-z 0-9 _ . : -, beginning with one of A-Z a-z 0-9 _`
  throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: caller, reason })
}

/**
 * Refuses keys that a script of the outbox cannot reach in a cluster, or must not.
 * @throws `POSTCOMMIT_KEYS_IN_TWO_SLOTS`, `POSTCOMMIT_INVALID_OPTIONS`.
 */
export function checkScriptKeys(name: string, keys: readonly string[]): void {
  for (const key of keys) {
    if (tagOf(key) !== name) refuseForeignTag(name, key)
    if (key.startsWith(`{${name}}:postcommit:`)) {
      const reason = `key ${JSON.stringify(key)} is one of the outbox itself`
      throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: 'script', reason })
    }
  }
}

/** What is between the first brace and the next one that closes; Redis hashes that alone. */
function tagOf(key: string): string | undefined {
  return /^[^{]*\{([^}]+)\}/.exec(key)?.[1]
}

function refuseForeignTag(name: string, key: string): never {
  const example = `{${name}}:${key.replaceAll(/[{}]/g, '') || 'cart'}`
  throw new PostcommitError('POSTCOMMIT_KEYS_IN_TWO_SLOTS', { name, key: JSON.stringify(key), example })
}
