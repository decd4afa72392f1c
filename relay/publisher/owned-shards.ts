import type pg from 'pg'
import type { Logger } from 'pino'
import type { Broker } from '../broker/broker.ts'
import { assignShards, type ShardOwnership } from '../engine/assign-shards.ts'
import type { Metrics } from '../observe/metrics.ts'
import { closeSession } from '../sessions.ts'
import { releaseShard } from '../store/release-shard.ts'
import { takeShard } from '../store/take-shard.ts'
import { ShardPublisher } from './shard-publisher.ts'

/** What shards are owned and published with. */
export interface OwnedShardsOptions {
  readonly source: string
  /** The id under which this relay takes part; another life has another id and another instance of this. */
  readonly relay: string
  readonly pool: pg.Pool
  /** Opens a connection for one shard. */
  readonly openReader: () => Promise<pg.Client>
  /** The broker, once it may be published to. */
  readonly broker: () => Broker | undefined
  readonly metrics: Metrics
  readonly log: Logger
  readonly inFlightMax: number
  readonly pollMs: { readonly min: number; readonly max: number }
  /** How long a shard that is given up may take to hand on what it has read, milliseconds. */
  readonly drainMs: number
  readonly onRead: () => void
}

interface Lane {
  readonly shard: number
  readonly epoch: string
  readonly client: pg.Client
  readonly publisher: ShardPublisher
}

/** The shards of one source that this relay publishes, each over a connection of its own. */
export class OwnedShards {
  readonly #options: OwnedShardsOptions
  readonly #lanes = new Map<number, Lane>()
  readonly #opening = new Map<number, Promise<void>>()
  #closed = false

  constructor(options: OwnedShardsOptions) {
    this.#options = options
  }

  /** The numbers of the shards that are being published. */
  get numbers(): readonly number[] {
    return [...this.#lanes.keys()]
  }

  /** Looks at the log now. */
  wake(): void {
    for (const { publisher } of this.#lanes.values()) publisher.wake()
  }

  /** Takes and gives up shards, by the table of who owns what. */
  balance(shards: readonly ShardOwnership[], relays: number): void {
    const { relay, pool, broker, drainMs } = this.#options
    const to = broker()
    if (to === undefined || this.#closed) return
    const { take, release } = assignShards(shards, relay, relays)
    for (const shard of take) this.#open(shard, to)
    for (const shard of release) void this.#lanes.get(shard)?.publisher.stop(drainMs)
    // Ours by the table and not being published: its lane failed before it could give the shard back.
    const orphans = shards.filter(({ shard, owner }) => owner === relay && !this.#isHeld(shard))
    for (const { shard, epoch } of orphans) void releaseShard(pool, shard, epoch).catch(() => undefined)
  }

  /** Stops publishing. With time to drain, hands on and saves what has been read; without, cuts the connections. */
  async close(drainMs: number): Promise<void> {
    this.#closed = true
    await Promise.all(this.#opening.values())
    await Promise.all(
      [...this.#lanes.values()].map(async ({ client, publisher }) => {
        // Ends a query that would never be answered; nothing is to be drained over the connection any more.
        if (drainMs === 0) await closeSession(client)
        await publisher.stop(drainMs)
        await closeSession(client)
      }),
    )
  }

  #isHeld(shard: number): boolean {
    return this.#lanes.has(shard) || this.#opening.has(shard)
  }

  #open(shard: number, broker: Broker): void {
    if (this.#isHeld(shard)) return
    const { source, log } = this.#options
    const opened = this.#take(shard, broker)
      .catch((error: Error) => log.warn({ source, shard, error: error.message }, 'cannot open a shard'))
      .finally(() => this.#opening.delete(shard))
    this.#opening.set(shard, opened)
  }

  async #take(shard: number, broker: Broker): Promise<void> {
    const { source, relay, pool, openReader, log } = this.#options
    const client = await openReader()
    const taken = this.#closed ? undefined : await takeShard(pool, shard, relay)
    if (taken === undefined) return await closeSession(client)
    const publisher = new ShardPublisher({ ...this.#options, broker, shard: taken, client })
    const lane = { shard, epoch: taken.epoch, client, publisher }
    this.#lanes.set(shard, lane)
    log.info({ source, shard, epoch: taken.epoch }, 'publishing')
    void publisher.ended
      .catch((error: Error) => log.warn({ source, shard, error: error.message }, 'publishing stopped'))
      .finally(() => this.#end(lane))
  }

  async #end({ shard, epoch, client }: Lane): Promise<void> {
    await releaseShard(this.#options.pool, shard, epoch).catch(() => undefined)
    this.#lanes.delete(shard)
    await closeSession(client)
  }
}
