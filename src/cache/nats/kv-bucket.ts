import type { NatsConnectionLike } from '../../nats/nats-connection.ts'
import { openRequests, type Requests } from '../../nats/requests.ts'
import { readStored } from '../../nats/stored.ts'
import { PostcommitError } from '../../protocol/errors.ts'

/** How a bucket is made if it is not there. */
export interface BucketConfig {
  readonly bucket: string
  readonly storage: 'file' | 'memory'
  readonly replicas: number
  /** How long the server keeps anything, milliseconds. */
  readonly maxAgeMs: number
  /** Whether the server drops each value when its time is over; needs nats-server 2.11. */
  readonly perKeyTtl: boolean
}

/** What is stored under a key. */
export interface StoredMessage {
  readonly revision: number
  readonly content: string
  /** When the server has stored it, by its clock, milliseconds. */
  readonly storedAt: number
}

type Json = Readonly<Record<string, unknown>>

const NO_MESSAGE = 10037
const NO_STREAM = 10059
const WRONG_REVISION = 10071

/**
 * A key-value bucket of JetStream. Reads are answered by the leader of its stream: a replica, which direct reads may
 * reach, can be behind an invalidation that was acknowledged.
 */
export class KvBucket {
  readonly stream: string
  readonly requests: Requests
  readonly #config: BucketConfig
  readonly #onMade: () => void
  #found: Promise<void> | undefined

  /** @param onMade - told when the bucket was not there and is made: its revisions begin anew */
  constructor(connection: NatsConnectionLike, config: BucketConfig, inbox: string, onMade: () => void) {
    this.#config = config
    this.#onMade = onMade
    this.stream = `KV_${config.bucket}`
    this.requests = openRequests(connection, inbox)
  }

  subjectOf(token: string): string {
    return `$KV.${this.#config.bucket}.${token}`
  }

  /** The newest message of a key. */
  async read(token: string): Promise<StoredMessage | undefined> {
    await this.#ready()
    return await this.#readMessage({ last_by_subj: this.subjectOf(token) })
  }

  /** When the server has stored a message, milliseconds. */
  async stampOf(revision: number): Promise<number | undefined> {
    return (await this.#readMessage({ seq: revision }))?.storedAt
  }

  /**
   * Writes a key; resolves to its new revision.
   * @param expected - the revision it must have, 0: none; undefined if it has another one
   */
  async write(token: string, content: string, expected?: number, ttlMs?: number): Promise<number | undefined> {
    await this.#ready()
    const headers: [string, string][] = []
    if (expected !== undefined) headers.push(['Nats-Expected-Last-Subject-Sequence', String(expected)])
    if (ttlMs !== undefined && this.#config.perKeyTtl) headers.push(['Nats-TTL', `${Math.ceil(ttlMs / 1000)}s`])
    const answer = await this.#ask(this.subjectOf(token), content, headers)
    const { code, description } = errorOf(answer)
    if (code === WRONG_REVISION) return undefined
    if (code !== 0) throw new Error(description)
    const stored = readStored(answer)
    if (stored?.stream !== this.stream) throw new Error(`${this.stream} has not stored it: ${JSON.stringify(answer)}`)
    return stored.sequence
  }

  /** When the server has made the bucket: tells one from another that was made in its place. */
  async madeAt(): Promise<string> {
    const answer = await this.#ask(`$JS.API.STREAM.INFO.${this.stream}`, '')
    return String(answer['created'])
  }

  /** The server may have been started again, without what it kept in memory: looks for the bucket once more. */
  forget(): void {
    this.#found = undefined
  }

  close(): void {
    this.requests.close()
  }

  async #readMessage(query: Json): Promise<StoredMessage | undefined> {
    const subject = `$JS.API.STREAM.MSG.GET.${this.stream}`
    const answer = await this.#ask(subject, JSON.stringify(query))
    const { code, description } = errorOf(answer)
    if (code === NO_MESSAGE) return undefined
    if (code !== 0) throw new Error(description)
    const message = record(answer['message'])
    return {
      revision: Number(message['seq']),
      content: Buffer.from(String(message['data'] ?? ''), 'base64').toString(),
      storedAt: Date.parse(String(message['time'])),
    }
  }

  /** Where nobody answers, or nobody knows the bucket, it may have been deleted: it is looked for before the next use. */
  async #ask(subject: string, body: string, headers: readonly [string, string][] = []): Promise<Json> {
    try {
      const answer = parse(await this.requests.request(subject, body, headers.length === 0 ? {} : { headers }))
      if (errorOf(answer).code === NO_STREAM) this.forget()
      return answer
    } catch (error) {
      this.forget()
      throw error
    }
  }

  #ready(): Promise<void> {
    this.#found ??= this.#findOrMake().catch((error: unknown) => {
      this.#found = undefined
      throw error
    })
    return this.#found
  }

  async #findOrMake(): Promise<void> {
    const found = parse(await this.requests.request(`$JS.API.STREAM.INFO.${this.stream}`, ''))
    if (errorOf(found).code === NO_STREAM) return await this.#make()
    if (errorOf(found).code !== 0) throw new Error(errorOf(found).description)
    const config = record(found['config'])
    const reason =
      config['max_msgs_per_subject'] !== 1
        ? 'it keeps more than one value a key'
        : this.#config.perKeyTtl && config['allow_msg_ttl'] !== true
          ? 'it does not allow a time to live per key'
          : undefined
    if (reason === undefined) return
    throw new PostcommitError('POSTCOMMIT_CACHE_BUCKET_UNSUITABLE', { bucket: this.#config.bucket, reason })
  }

  async #make(): Promise<void> {
    const { bucket, storage, replicas, maxAgeMs, perKeyTtl } = this.#config
    const config = {
      name: this.stream,
      subjects: [`$KV.${bucket}.>`],
      retention: 'limits',
      discard: 'new',
      max_msgs_per_subject: 1,
      max_msgs: -1,
      max_bytes: -1,
      max_consumers: -1,
      max_msg_size: -1,
      max_age: maxAgeMs * 1e6,
      duplicate_window: Math.min(maxAgeMs, 120_000) * 1e6,
      storage,
      num_replicas: replicas,
      deny_delete: true,
      allow_rollup_hdrs: true,
      ...(perKeyTtl && { allow_msg_ttl: true }),
    }
    const answer = parse(await this.requests.request(`$JS.API.STREAM.CREATE.${this.stream}`, JSON.stringify(config)))
    const { code, description } = errorOf(answer)
    // Another process has made it at the same time; both want the same.
    if (code !== 0 && code !== 10058) throw new Error(description)
    this.#onMade()
  }
}

function parse({ data }: { readonly data: Uint8Array }): Json {
  return record(JSON.parse(new TextDecoder().decode(data)))
}

function errorOf(answer: Json): { readonly code: number; readonly description: string } {
  const { err_code: code, description } = record(answer['error'])
  if (answer['error'] === undefined) return { code: 0, description: '' }
  return { code: Number(code ?? -1), description: typeof description === 'string' ? description : 'JetStream refused' }
}

function record(value: unknown): Json {
  // A parsed JSON object is indexed by text and nothing is assumed of its values.
  return typeof value === 'object' && value !== null ? (value as Json) : {}
}
