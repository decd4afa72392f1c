import { PostcommitError } from '../protocol/errors.ts'
import { REDIS_OUTBOX_NAME } from '../protocol/redis-entry.ts'
import { evaluateOn, type IoredisLike, type NodeRedisLike, type Script } from '../redis/evaluate.ts'
import { type OutboxKeys, outboxKeys } from './keys.ts'
import { FACTS } from './scripts.ts'

/** The place of one outbox in a Redis. */
export interface OutboxConnection {
  readonly keys: OutboxKeys
  /** Runs a script; its reply is a list. */
  run(script: Script, keys: readonly string[], values: readonly string[]): Promise<readonly unknown[]>
}

/** @throws `POSTCOMMIT_INVALID_OPTIONS`. */
export function connectTo(client: NodeRedisLike | IoredisLike, name: string, caller: string): OutboxConnection {
  if (typeof name !== 'string' || !REDIS_OUTBOX_NAME.test(name)) {
    throw invalidOptions(caller, 'name is not 1 to 64 of A-Z a-z 0-9 _ . -')
  }
  const evaluate = evaluateOn(client)
  if (evaluate === undefined) throw invalidOptions(caller, 'the client is neither of redis nor of ioredis')
  return {
    keys: outboxKeys(name),
    async run(script, keys, values) {
      const reply = await evaluate(script, keys, values)
      if (Array.isArray(reply)) return reply
      throw invalidOptions(caller, 'the client gave a reply that is none of its script')
    },
  }
}

const OLDEST = [6, 2] as const

/**
 * Refuses a server that would lose entries or barriers in silence, or that is older than what is needed. Where a server
 * does not tell, it is taken.
 *
 * @throws `POSTCOMMIT_REDIS_UNSUITABLE`.
 */
export async function requireSuitable({ keys, run }: OutboxConnection): Promise<void> {
  const [version, policy] = (await run(FACTS, [keys.stock], [])).map(String)
  const [major = 0, minor = 0] = (version ?? '').split('.').map(Number)
  if (version !== '' && (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]))) {
    throw unsuitable(keys.name, `it is version ${version}, older than ${OLDEST.join('.')}`)
  }
  if (policy !== '' && policy !== 'noeviction') {
    throw unsuitable(keys.name, `maxmemory-policy is ${policy}, so it may throw stocks and barriers away`)
  }
}

function unsuitable(name: string, reason: string): PostcommitError<'POSTCOMMIT_REDIS_UNSUITABLE'> {
  return new PostcommitError('POSTCOMMIT_REDIS_UNSUITABLE', { name, reason })
}

/** An option that is not what it can be. */
export function invalidOptions(caller: string, reason: string): PostcommitError<'POSTCOMMIT_INVALID_OPTIONS'> {
  return new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: caller, reason })
}
