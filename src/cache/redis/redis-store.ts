import { randomBytes } from 'node:crypto'
import { PostcommitError } from '../../protocol/errors.ts'
import {
  evaluateOn,
  type IoredisLike,
  isUnknownScript,
  type NodeRedisLike,
  runOn,
  type Script,
  script,
} from '../../redis/evaluate.ts'
import { mastersOf } from '../../redis/masters.ts'
import type { CacheStore, Claim } from '../cache-store.ts'
import { within } from '../within.ts'
import { CLAIM, FILL, INVALIDATE, PEEK, PROBE, READ_BOARD, RELEASE, SWAP_BOARD } from './scripts.ts'

/** What {@link redisStore} takes beside the client. */
export interface RedisStoreOptions {
  /** What the keys begin with, default `cache:`. Keys that contain `{…}` stay in the slot that this names. */
  readonly prefix?: string
}

/** How far the clocks of the nodes of a cluster may be apart. */
const CLOCKS_APART_MS = 1000
const PROBE_MS = 250
const PREFIX = /^[A-Za-z0-9_.:{}-]{0,64}$/

/**
 * Keeps a cache in Redis 7 or newer, one hash a key. Every step is one script over one key, by the server's clock, so
 * it works in a cluster, and what a batch asks for at once goes to the server in one pipeline.
 *
 * @param client - a connected client of `redis` (node-redis, version 4 or newer) or `ioredis`; it stays the caller's
 * to close
 * @throws `POSTCOMMIT_INVALID_OPTIONS`.
 * @example
 * ```ts
 * const cache = createCache({ store: redisStore(await createClient({ url }).connect()) })
 * ```
 */
export function redisStore(
  client: NodeRedisLike | IoredisLike,
  { prefix = 'cache:' }: RedisStoreOptions = {},
): CacheStore {
  if (!PREFIX.test(prefix)) throw invalidOptions('prefix is not 0 to 64 of A-Z a-z 0-9 _ . : { } -')
  // A server that does not know this script was started, or has taken over, since any process has looked at its board,
  // and may be without what it had acknowledged. The script that finds the doubt settles it, or a second process could
  // look in between and see none.
  const readBoard = ownScript(client, prefix, READ_BOARD)
  const evaluate = evaluateOn(client, (script, values) => (script === readBoard ? ['0'] : values))
  const claim = evaluateOn(withoutTimeout(client))
  if (evaluate === undefined || claim === undefined) {
    throw invalidOptions('the client is neither of redis nor of ioredis')
  }
  const token = randomBytes(9).toString('base64url')
  const board = `${prefix}{postcommit}:board`
  const doubt = `${prefix}{postcommit}:doubt`
  const masters = mastersOf(client)
  const probe = ownScript(client, prefix, PROBE)
  let leases = 0

  return {
    async claim(key, { leaseMs, since, refused }): Promise<Claim> {
      leases += 1
      const lease = `${token}${leases}`
      const values = [String(leaseMs), lease, String(since), refused ?? '', refused === undefined ? '0' : '1']
      const [state, text] = listOf(await claim(CLAIM, [prefix + key], values))
      if (state === 'hit') return { state, text: String(text) }
      const stale = text === null || text === undefined ? undefined : String(text)
      return state === 'wait' ? { state, stale } : { state: 'load', lease, stale }
    },
    async fill(key, lease, text, ttlMs) {
      return Number(await evaluate(FILL, [prefix + key], [lease, text, String(ttlMs)])) === 1
    },
    async release(key, lease) {
      await evaluate(RELEASE, [prefix + key], [lease])
    },
    async invalidate(key, { staleMs, id }) {
      await evaluate(INVALIDATE, [prefix + key], [String(staleMs), id])
    },
    async peek(key, since) {
      const [text, claimedAt] = listOf(await evaluate(PEEK, [prefix + key], [String(since)]))
      return text === undefined ? undefined : { text: String(text), claimedAt: Number(claimedAt) }
    },
    async readBoard() {
      const forgetful = masters === undefined ? [] : await findForgetful(masters(), probe)
      const doubted = forgetful.length > 0 ? String(CLOCKS_APART_MS) : ''
      const [now, doubtfulAt, text] = listOf(await evaluate(readBoard, [board, doubt], [doubted]))
      // Only now, or another process could find a node that knows the script before the doubt is on the board.
      await Promise.all(forgetful.map((teach) => teach().catch(() => undefined)))
      const given = text === null || text === undefined ? undefined : String(text)
      return { text: given, nowMs: Number(now), doubtfulAtMs: Number(doubtfulAt) }
    },
    async swapBoard(before, after) {
      const values = [before ?? '', before === undefined ? '0' : '1', after]
      return Number(await evaluate(SWAP_BOARD, [board], values)) === 1
    },
    onInterrupted: (listener) => listenTo(client, listener),
    close: async () => undefined,
  }
}

/**
 * The same connection without the time limit that node-redis gives each command since version 6, by an AbortSignal of
 * its own: at 10,000 reads a second they doubled the median of a read. For claims alone, which have a limit of the
 * cache's and are not asked while the server is away; everything else would wait in the client for its return.
 */
function withoutTimeout(client: NodeRedisLike | IoredisLike): NodeRedisLike | IoredisLike {
  const { withCommandOptions } = client as { readonly withCommandOptions?: (options: object) => NodeRedisLike }
  return withCommandOptions === undefined ? client : withCommandOptions.call(client, { timeout: undefined })
}

/**
 * A script that no other cache in the same server has: whoever asks first after a restart teaches it, and another cache
 * would find it known, with no doubt on a board of its own.
 */
function ownScript(client: object, prefix: string, text: string): Script {
  const { options } = client as { readonly options?: { readonly database?: unknown; readonly db?: unknown } }
  const database = options?.database ?? options?.db ?? 0
  return script(`-- ${Number(database)} ${prefix}\n${text}`)
}

/** Of the nodes of a cluster, those that have forgotten the scripts; what they give back teaches them again. */
async function findForgetful(
  masters: ReturnType<NonNullable<ReturnType<typeof mastersOf>>>,
  script: Script,
): Promise<readonly (() => Promise<unknown>)[]> {
  const forgetful: (() => Promise<unknown>)[] = []
  const probe = async (master: (typeof masters)[number]): Promise<void> => {
    const run = runOn(await master)
    await run?.known(script, [], []).catch((error: unknown) => {
      if (isUnknownScript(error)) forgetful.push(() => run.whole(script, [], []))
    })
  }
  // From one that does not answer nothing is read either. When it is back it is asked before another second is over.
  await Promise.all(masters.map((master) => within(PROBE_MS, probe(master)).catch(() => undefined)))
  // A copy: one that answers late is asked again, with the doubt written down before it is taught.
  return [...forgetful]
}

function listOf(reply: unknown): readonly unknown[] {
  if (Array.isArray(reply)) return reply
  throw invalidOptions('the client gave a reply that is none of its script')
}

/** Both clients say `reconnecting` when they have lost the server; the clients of a cluster do so for each node. */
function listenTo(client: object, listener: () => void): () => void {
  const { on, off } = client as {
    readonly on?: (event: string, listener: () => void) => unknown
    readonly off?: (event: string, listener: () => void) => unknown
  }
  const events = ['reconnecting', 'end', 'node-reconnecting', '-node']
  for (const event of events) on?.call(client, event, listener)
  return () => {
    for (const event of events) off?.call(client, event, listener)
  }
}

function invalidOptions(reason: string): PostcommitError<'POSTCOMMIT_INVALID_OPTIONS'> {
  return new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: 'redisStore', reason })
}
