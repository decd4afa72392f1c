import type { NatsConnection } from '@nats-io/transport-node'
import type pg from 'pg'
import type { Logger } from 'pino'
import { PostcommitError } from 'postcommit/protocol'
import type { Broker } from '../broker/broker.ts'
import { FoundAtTails, StreamTails } from '../broker/stream-tail.ts'
import { assignShards, type ShardOwnership } from '../engine/assign-shards.ts'
import type { HandedOn } from '../engine/whereabouts.ts'
import type { Metrics } from '../observe/metrics.ts'
import { closeSession } from '../postgres/sessions.ts'
import type { Acknowledgement } from '../store/broker/insert-broker-marks.ts'
import { selectBrokerMarks } from '../store/broker/select-broker-marks.ts'
import { releaseShard } from '../store/log/release-shard.ts'
import { type TakenShard, takeShard } from '../store/log/take-shard.ts'
import { confirmPlace, noteDoubt, selectFormerPlace } from '../store/member/note-whereabouts.ts'
import { ShardPublisher, type ShardPublisherOptions } from './shard-publisher.ts'
import { newestOf, type OwnedShard, rewindToSurvivors, type StillThere } from './surviving-mark.ts'

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
  readonly onHandedOn: (shard: number, message: HandedOn) => void
  readonly retentionMs: number
  /** These streams have acknowledged something: they are to be missed when they are gone. */
  readonly watchStreams: (names: readonly string[]) => void
  readonly onRead: () => void
}

/** A stream that was removed and made again, or set back while the connection held, is noticed so soon at the latest. */
const CHECK_MS = 30_000
/** After an acknowledgement that gives rise to it. */
const CHECK_SOON_MS = 200
/** How often it is tried again whether an operator has decided. */
const REFUSED_MS = 5000

interface Lane {
  readonly shard: number
  readonly epoch: string
  readonly client: pg.Client
  readonly publisher: ShardPublisher
  readonly found: FoundAtTails
}

interface ComparedShard extends OwnedShard {
  readonly found: FoundAtTails
}

/** The shards of one source that this relay publishes, each over a connection of its own. */
export class OwnedShards {
  readonly #options: OwnedShardsOptions
  readonly #lanes = new Map<number, Lane>()
  readonly #opening = new Map<number, Promise<void>>()
  /** Since when each shard has been tried to be read. */
  readonly #unreadSince = new Map<number, number>()
  #unregister: (() => void) | undefined
  #check: NodeJS.Timeout | undefined
  #isCheckSoon = false
  /** The broker could not be asked the last time. */
  #isBlind = false
  #closed = false
  #refused: { readonly reason: string; readonly at: number } | undefined

  constructor(options: OwnedShardsOptions) {
    this.#options = options
    // A counter that is first seen at one has not increased, for the rules of alerts.
    options.metrics.brokerRegressions.inc({ source: options.source }, 0)
  }

  /** The numbers of the shards that are being published. */
  get numbers(): readonly number[] {
    return [...this.#lanes.keys()]
  }

  /** For how long a shard has been tried to be read in vain, milliseconds; 0 if all reads are answered. */
  get unreadMs(): number {
    return this.#unreadSince.size === 0 ? 0 : performance.now() - Math.min(...this.#unreadSince.values())
  }

  /** Why no shard is published, because an operator has to decide. */
  get refusal(): string | undefined {
    return this.#refused?.reason
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
    this.#unregister ??= to.beforeResuming((nc) => this.#compare(nc))
    this.#check ??= setTimeout(() => void this.#checkNow(to), CHECK_MS).unref()
    const { take, release } = assignShards(shards, relay, relays)
    const isRefused = this.#refused !== undefined && performance.now() - this.#refused.at < REFUSED_MS
    for (const shard of take) if (!isRefused) this.#open(shard, to)
    for (const { shard, owner } of shards) if (owner !== undefined && owner !== relay) this.#unreadSince.delete(shard)
    for (const shard of release) void this.#lanes.get(shard)?.publisher.stop(drainMs)
    // Ours by the table and not being published: its lane failed before it could give the shard back.
    const orphans = shards.filter(({ shard, owner }) => owner === relay && !this.#isHeld(shard))
    for (const { shard, epoch } of orphans) void releaseShard(pool, shard, epoch).catch(() => undefined)
  }

  /** Stops publishing. With time to drain, hands on and saves what has been read; without, cuts the connections. */
  async close(drainMs: number): Promise<void> {
    this.#closed = true
    this.#unregister?.()
    clearTimeout(this.#check)
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
    const client = await this.#options.openReader()
    const begun = await this.#begin(shard, broker, client).catch(async (error: unknown) => {
      await closeSession(client)
      throw error
    })
    if (!begun) await closeSession(client)
  }

  /** False: another relay was quicker, or the broker has lost something, and the next balance takes the shard where it is now. */
  async #begin(shard: number, broker: Broker, client: pg.Client): Promise<boolean> {
    const { source, relay, pool, log } = this.#options
    const taken = this.#closed ? undefined : await takeShard(pool, shard, relay)
    if (taken === undefined) return false
    const newest = newestOf([...(await selectBrokerMarks(pool, shard)), ...ackOf(taken)])
    const owned = { shard, epoch: taken.epoch, newest, found: new FoundAtTails() }
    if (newest.length > 0) {
      const tails = new StreamTails(await broker.connection())
      if (await this.#rewindIfLost(tails, owned)) return false
    }
    this.#refused = undefined
    const onOldNumber = () => this.#checkSoon(broker)
    const parts = { broker, shard: taken, newest, client, onOldNumber, ...this.#watchReads(shard) }
    const publisher = new ShardPublisher({ ...this.#options, ...parts })
    const lane = { shard, epoch: taken.epoch, client, publisher, found: owned.found }
    this.#lanes.set(shard, lane)
    log.info({ source, shard, epoch: taken.epoch }, 'publishing')
    void publisher.ended
      .catch((error: Error) => log.warn({ source, shard, error: error.message }, 'publishing stopped'))
      .then(() => this.#end(lane))
    return true
  }

  /** A read that failed goes on being missing: the lane is opened again, and waits again for what was in its way. */
  #watchReads(shard: number): Pick<ShardPublisherOptions, 'onReading' | 'onRead'> {
    return {
      onReading: () => {
        if (!this.#unreadSince.has(shard)) this.#unreadSince.set(shard, performance.now())
      },
      onRead: () => {
        this.#unreadSince.delete(shard)
        this.#options.onRead()
      },
    }
  }

  #checkSoon(broker: Broker): void {
    // More of them must not put it off.
    if (this.#isCheckSoon || this.#closed) return
    this.#isCheckSoon = true
    clearTimeout(this.#check)
    this.#check = setTimeout(() => void this.#checkNow(broker), CHECK_SOON_MS).unref()
  }

  async #checkNow(broker: Broker): Promise<void> {
    // The next balance sets it again.
    this.#check = undefined
    this.#isCheckSoon = false
    if (broker.connected) await this.#compare(await broker.connection())
  }

  /** Compares what every shard was acknowledged with what the broker has; who was taken back has ended when this resolves. */
  async #compare(nc: NatsConnection): Promise<void> {
    const tails = new StreamTails(nc)
    await Promise.all(
      [...this.#lanes.values()].map(async ({ shard, epoch, publisher, found }) => {
        const { newest } = publisher
        if (await this.#rewindIfLost(tails, { shard, epoch, newest, found })) await publisher.stop(0)
      }),
    )
  }

  async #rewindIfLost(tails: StreamTails, owned: ComparedShard): Promise<boolean> {
    const { source, pool, metrics, log, retentionMs, watchStreams } = this.#options
    const { shard, newest, found } = owned
    watchStreams(newest.map(({ stream }) => stream))
    try {
      const isThere: StillThere = (ack) => found.isThere(tails, ack)
      const mayStartOver = () => this.#requireHome()
      const rewound = await rewindToSurvivors(pool, owned, { isThere, retentionMs, mayStartOver })
      this.#isBlind = false
      this.#refused = undefined
      if (rewound === undefined) {
        await confirmPlace(pool)
        return false
      }
      const { streams, mark, leftOut } = rewound
      metrics.brokerRegressions.inc({ source })
      const from = mark === undefined ? 'the beginning of what is kept' : `after ${mark.messageId}`
      const lost = { source, shard, streams, from, ...(leftOut > 0 && { leftOut, retentionMs }) }
      const untold = leftOut > 0 ? ', except what is older than the retention' : ''
      log.error(lost, `the broker has lost what it acknowledged: it is published again${untold}`)
      return true
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      if (error instanceof PostcommitError && error.code === 'POSTCOMMIT_COPIED_DATABASE') {
        if (this.#refused === undefined) log.error({ source, shard, error: reason }, 'nothing is published')
        this.#refused = { reason, at: performance.now() }
        return true
      }
      // Of every shard every half minute it would be the same.
      if (!this.#isBlind) {
        log.warn({ source, shard, error: reason }, 'cannot see whether the broker still has what it acknowledged')
      }
      this.#isBlind = true
      return false
    }
  }

  /**
   * A broker that has nothing at all of what it acknowledged has been replaced, and gets all that is kept again. Unless the
   * database is elsewhere as well: then this may be a copy beside the original, with a broker of its own.
   */
  async #requireHome(): Promise<void> {
    const { source, pool } = this.#options
    const former = await selectFormerPlace(pool)
    if (former === undefined) return
    const refusal = new PostcommitError('POSTCOMMIT_COPIED_DATABASE', { database: source, former })
    await noteDoubt(pool, refusal.message)
    throw refusal
  }

  async #end({ shard, epoch, client }: Lane): Promise<void> {
    await releaseShard(this.#options.pool, shard, epoch).catch(() => undefined)
    this.#lanes.delete(shard)
    await closeSession(client)
  }
}

function ackOf({ stream, sequence, messageId }: TakenShard): readonly Acknowledgement[] {
  return stream === null || sequence === null || messageId === null ? [] : [{ stream, sequence, messageId }]
}
