import { randomBytes } from 'node:crypto'
import { type Duration, readDuration } from '../../duration.ts'
import type { NatsConnectionLike } from '../../nats/nats-connection.ts'
import { PostcommitError } from '../../protocol/errors.ts'
import type { CacheStore, Claim, ClaimOptions, Stored } from '../cache-store.ts'
import { BucketWatch } from './bucket-watch.ts'
import { FirstLevel } from './first-level.ts'
import { KvBucket, type StoredMessage } from './kv-bucket.ts'
import { decodeEntry, encodeEntry, encodeKey, type KvEntry, type StaleValue } from './kv-entry.ts'
import { type ServerTime, serverClock } from './server-clock.ts'

/** What {@link natsKvStore} takes beside the connection. */
export interface NatsKvStoreOptions {
  /** The bucket, 1 to 64 of `A-Z a-z 0-9 _ -`; made if it is not there. */
  readonly bucket: string
  /** Default `memory`: a cache can be loaded again. */
  readonly storage?: 'file' | 'memory'
  readonly replicas?: number
  /** How long the server keeps anything, default 1 day; a longer `ttl` ends there. */
  readonly maxAge?: Duration
  /** Has the server drop each value when its `ttl` is over, instead of keeping it for `maxAge`; needs nats-server 2.11. */
  readonly perKeyTtl?: boolean
  /**
   * Keeps what is read in this process too, as long as a watch of the bucket tells of every change. A read may then be
   * behind a finished invalidation by the way of one message (about a millisecond) and, if nothing is heard of the
   * bucket, by `lagMs`; after that, and while disconnected, nothing is kept.
   */
  readonly firstLevel?: boolean | FirstLevelOptions
}

/** The bounds of a first level. */
export interface FirstLevelOptions {
  /** How many values are kept, default 10000. */
  readonly entriesMax?: number
  /** How far it may be behind, milliseconds, at least 400, default 1000. */
  readonly lagMs?: number
}

const NAME = /^[A-Za-z0-9_-]{1,64}$/
const BOARD = '_board'
const TRIES_MAX = 10

/**
 * Keeps a cache in a key-value bucket of NATS JetStream. The revision of a key is the lease: whoever loads has written
 * a revision of his own, an invalidation writes another one, and a fill demands the one that it knows.
 *
 * @param connection - of `@nats-io/transport-node` or `nats` 2.x; it stays the caller's to close
 * @throws `POSTCOMMIT_INVALID_OPTIONS`, `POSTCOMMIT_UNSUPPORTED_SERVER` for `perKeyTtl` on a server that would ignore
 * it. A bucket that is there and cannot be used is told through `onError` of the cache
 * (`POSTCOMMIT_CACHE_BUCKET_UNSUITABLE`).
 * @example
 * ```ts
 * const cache = createCache({ store: natsKvStore(connection, { bucket: 'cache', firstLevel: true }) })
 * ```
 */
export function natsKvStore(connection: NatsConnectionLike, options: NatsKvStoreOptions): CacheStore {
  return new NatsKvStore(connection, options)
}

type Found = { readonly message: StoredMessage; readonly entry: KvEntry } | undefined

class NatsKvStore implements CacheStore {
  readonly #bucket: KvBucket
  readonly #clock: { now(): Promise<ServerTime>; forget(): void }
  readonly #first: FirstLevel | undefined
  readonly #watch: BucketWatch | undefined
  readonly #interrupted = new Set<() => void>()
  /** Leases of an earlier one are void: a server without its memory, and a bucket made anew, number anew. */
  #generation = 0
  /** When the server has made the bucket that is known here. */
  #made: string | undefined
  #board: { readonly text: string; readonly revision: number } | undefined
  #isClosed = false

  constructor(connection: NatsConnectionLike, options: NatsKvStoreOptions) {
    const { bucket, storage = 'memory', replicas = 1, perKeyTtl = false, firstLevel = false } = options
    if (!NAME.test(bucket)) throw invalidOptions('bucket is not 1 to 64 of A-Z a-z 0-9 _ -')
    const maxAgeMs = readDuration(options.maxAge ?? '1d')
    if (maxAgeMs === undefined || maxAgeMs < 1000) throw invalidOptions(`maxAge is ${options.maxAge}`)
    if (perKeyTtl) checkServer(connection.info?.version ?? '0')
    const inbox = `_INBOX.${randomBytes(12).toString('hex')}`
    this.#bucket = new KvBucket(connection, { bucket, storage, replicas, maxAgeMs, perKeyTtl }, `${inbox}.r`, () =>
      this.#startAnew(),
    )
    const ownClock = `_clock-${randomBytes(6).toString('hex')}`
    this.#clock = serverClock(async () => {
      const revision = await this.#bucket.write(ownClock, '')
      const stamp = revision === undefined ? undefined : await this.#bucket.stampOf(revision)
      if (stamp === undefined) throw new Error('the server did not keep what it was to stamp')
      return stamp
    })
    if (firstLevel !== false) {
      const { entriesMax = 10_000, lagMs = 1000 } = firstLevel === true ? {} : firstLevel
      if (!Number.isInteger(entriesMax) || entriesMax < 1) throw invalidOptions(`entriesMax is ${entriesMax}`)
      if (!Number.isInteger(lagMs) || lagMs < 400) throw invalidOptions(`lagMs is ${lagMs}, not 400 or more`)
      const first = new FirstLevel(entriesMax)
      const prefix = this.#bucket.subjectOf('').length
      this.#first = first
      this.#watch = new BucketWatch({
        ...{ connection, requests: this.#bucket.requests, stream: this.#bucket.stream, lagMs },
        subject: this.#bucket.subjectOf('>'),
        inbox: `${inbox}.w`,
        onChange: (subject, revision) => first.changed(subject.slice(prefix), revision),
        onGap: () => first.clear(),
      })
    }
    void this.#listen(connection)
  }

  claim(key: string, options: ClaimOptions): Promise<Claim> | Claim {
    const token = encodeKey(key)
    const kept = this.#watch?.isLive ? this.#first?.get(token) : undefined
    if (kept !== undefined && kept.claimedAt >= options.since && kept.text !== options.refused) {
      return { state: 'hit', text: kept.text, isNear: true }
    }
    return this.#claim(token, options)
  }

  async #claim(token: string, { leaseMs, since, refused }: ClaimOptions): Promise<Claim> {
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const time = await this.#clock.now()
      const found = await this.#read(token, time)
      const { entry, message } = found ?? {}
      const hit = hitOf(found, time, since)?.text
      if (hit !== undefined && hit !== refused) return { state: 'hit', text: hit }
      const stale = staleOf(entry, time, since)
      if (entry?.kind === 'lock' && (message?.storedAt ?? 0) + entry.leaseMs > time.earliest) {
        return { state: 'wait', stale: stale?.text }
      }
      const lock: KvEntry = { kind: 'lock', leaseMs, stale, applied: entry?.applied }
      // Not before the reads, which make the bucket where there is none.
      const generation = this.#generation
      const revision = await this.#bucket.write(token, encodeEntry(lock), message?.revision ?? 0)
      if (revision === undefined) continue
      // What is stored under this lease was not loaded before this, by whichever clock somebody looks at it.
      const lease = `${generation}:${revision}:${Math.floor(time.earliest)}:${lock.applied ?? ''}`
      return { state: 'load', lease, stale: stale?.text }
    }
    return { state: 'wait' }
  }

  async fill(key: string, lease: string, text: string, ttlMs: number): Promise<boolean> {
    const { generation, revision, claimedAt, applied } = readLease(lease)
    if (generation !== this.#generation) return false
    const content = encodeEntry({ kind: 'value', text, claimedAt, ttlMs, applied })
    return (await this.#bucket.write(encodeKey(key), content, revision, ttlMs)) !== undefined
  }

  async release(key: string, lease: string): Promise<void> {
    const { generation, revision } = readLease(lease)
    if (generation !== this.#generation) return
    const token = encodeKey(key)
    const found = await this.#read(token)
    if (found?.message.revision !== revision || found.entry.kind !== 'lock') return
    const { stale, applied } = found.entry
    await this.#bucket.write(token, encodeEntry({ kind: 'void', stale, applied }), revision)
  }

  async invalidate(key: string, { staleMs, id }: { readonly staleMs: number; readonly id: string }): Promise<void> {
    const token = encodeKey(key)
    const applied = id === '' ? undefined : id
    // One message where nothing of what is there matters.
    if (staleMs === 0 && applied === undefined) {
      await this.#bucket.write(token, encodeEntry({ kind: 'void' }))
    } else if (!(await this.#invalidateKnown(token, staleMs, applied))) {
      // Others write it all the time. What is there is given up: a load too many.
      await this.#bucket.write(token, encodeEntry({ kind: 'void', applied }))
    }
    this.#first?.changed(token, Number.POSITIVE_INFINITY)
  }

  /** Invalidates what is there as it is; resolves to false if it does not stand still. */
  async #invalidateKnown(token: string, staleMs: number, applied: string | undefined): Promise<boolean> {
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const time = await this.#clock.now()
      const found = await this.#read(token, time)
      const { entry, message } = found ?? {}
      if (applied !== undefined && entry?.applied === applied) return true
      const before = staleOf(entry, time, 0)
      const hit = hitOf(found, time, 0)
      const now = Math.floor(time.earliest)
      const value: StaleValue | undefined =
        entry?.kind === 'value' && hit !== undefined
          ? { ...hit, until: (message?.storedAt ?? 0) + entry.ttlMs }
          : before
      const stale =
        staleMs === 0 || value === undefined ? undefined : { ...value, until: Math.min(value.until, now + staleMs) }
      const content = encodeEntry({ kind: 'void', stale, applied: applied ?? entry?.applied })
      if ((await this.#bucket.write(token, content, message?.revision ?? 0)) !== undefined) return true
    }
    return false
  }

  async peek(key: string, since: number): Promise<Stored | undefined> {
    const time = await this.#clock.now()
    return hitOf(await this.#read(encodeKey(key)), time, since)
  }

  async readBoard(): Promise<{ text: string | undefined; nowMs: number; doubtfulAtMs: number }> {
    const [message, time, made] = await Promise.all([
      this.#bucket.read(BOARD),
      this.#clock.now(),
      this.#bucket.madeAt(),
    ])
    // Somebody else has made the bucket anew.
    if (this.#made !== undefined && made !== this.#made) this.#startAnew()
    this.#made = made
    const text = message?.content
    this.#board = message === undefined ? undefined : { text: message.content, revision: message.revision }
    return { text, nowMs: Math.ceil(time.latest), doubtfulAtMs: 0 }
  }

  async swapBoard(before: string | undefined, after: string): Promise<boolean> {
    if (this.#board?.text !== before) return false
    return (await this.#bucket.write(BOARD, after, this.#board?.revision ?? 0)) !== undefined
  }

  onInterrupted(listener: () => void): () => void {
    this.#interrupted.add(listener)
    return () => this.#interrupted.delete(listener)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#watch?.stop()
    this.#bucket.close()
  }

  /** Reads a key past the first level, which keeps a hit. */
  async #read(token: string, time?: ServerTime): Promise<Found> {
    const keep = time === undefined || !this.#watch?.isLive ? undefined : this.#first?.begin(token)
    let kept: Parameters<NonNullable<typeof keep>>[0]
    try {
      const message = await this.#bucket.read(token)
      if (message === undefined) return undefined
      const entry = decodeEntry(message.content)
      if (entry.kind === 'value' && time !== undefined) {
        const leftMs = message.storedAt + entry.ttlMs - time.latest
        const { text, claimedAt } = entry
        kept = { text, claimedAt, revision: message.revision, goneAt: performance.now() + leftMs }
      }
      return { message, entry }
    } finally {
      keep?.(kept)
    }
  }

  /** Revisions may begin anew: those that are known here say nothing any more. */
  #startAnew(): void {
    this.#generation += 1
    this.#first?.clear()
  }

  async #listen(connection: NatsConnectionLike): Promise<void> {
    for await (const { type } of connection.status()) {
      if (this.#isClosed) return
      if (type !== 'disconnect') continue
      this.#startAnew()
      this.#clock.forget()
      this.#bucket.forget()
      this.#watch?.lost()
      for (const listener of this.#interrupted) listener()
    }
  }
}

function hitOf(found: Found, time: ServerTime, since: number): Stored | undefined {
  if (found?.entry.kind !== 'value') return undefined
  const { text, claimedAt, ttlMs } = found.entry
  return claimedAt >= since && found.message.storedAt + ttlMs > time.latest ? { text, claimedAt } : undefined
}

function staleOf(entry: KvEntry | undefined, time: ServerTime, since: number): StaleValue | undefined {
  if (entry === undefined || entry.kind === 'value' || entry.stale === undefined) return undefined
  const { stale } = entry
  return stale.until > time.latest && stale.claimedAt >= since ? stale : undefined
}

function readLease(lease: string): {
  readonly generation: number
  readonly revision: number
  readonly claimedAt: number
  readonly applied: string | undefined
} {
  const [generation, revision, claimedAt, ...applied] = lease.split(':')
  const id = applied.join(':')
  return {
    generation: Number(generation),
    revision: Number(revision),
    claimedAt: Number(claimedAt),
    applied: id === '' ? undefined : id,
  }
}

/** An older server takes the header and forgets it. */
function checkServer(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > 2 || (major === 2 && minor >= 11)) return
  throw new PostcommitError('POSTCOMMIT_UNSUPPORTED_SERVER', { server: 'nats-server', version, minimum: '2.11.0' })
}

function invalidOptions(reason: string): PostcommitError<'POSTCOMMIT_INVALID_OPTIONS'> {
  return new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: 'natsKvStore', reason })
}
