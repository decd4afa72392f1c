import { join } from 'node:path'
import { type NatsServer, type PostgresServer, startNats, startPostgres } from '@postcommit/relay/dev'
import { openShop, relayNames, type Shop, type ShopOptions } from '../../examples/shop/shop.ts'
import { builtPackages } from '../support/built-packages.ts'
import { NATS_BINARY } from '../support/nats-binary.ts'
import { type NatsCluster, startNatsCluster } from '../support/nats-cluster.ts'
import { type NatsPath, openNatsPath } from '../support/nats-path.ts'
import { postgresSource } from '../support/postgres-source.ts'

/** A shop on servers of its own, all of which may be killed. */
export interface Stage<Nats = NatsServer> extends Shop {
  readonly postgres: PostgresServer
  readonly nats: Nats
  readonly mail: NonNullable<Shop['mail']>
  /** Ends everything. */
  [Symbol.asyncDispose](): Promise<void>
}

/** A shop whose stream has three copies, and whose relays have ways of their own to NATS. */
export interface ClusterStage extends Stage<NatsCluster> {
  /** By the relay's name. */
  readonly paths: ReadonlyMap<string, NatsPath>
}

/** What a stage can have differently. */
export type StageOptions = Partial<Pick<ShopOptions, 'relays' | 'leaseMs' | 'through'>>

/** Starts servers below `folder`, opens a shop on them and starts its cast; one relay unless told otherwise. */
export async function openStage(folder: string, options: StageOptions = {}): Promise<Stage> {
  return await open(folder, options, async (opened) => {
    const nats = await startNats({ storeDir: join(folder, 'nats'), ...NATS_BINARY })
    opened.push(nats.stop)
    return { own: { nats }, shop: {} }
  })
}

/** {@link openStage} with three NATS nodes. */
export async function openClusterStage(folder: string, options: StageOptions = {}): Promise<ClusterStage> {
  return await open(folder, options, async (opened) => {
    const nats = await startNatsCluster(folder)
    opened.push(nats.stop)
    const paths = new Map<string, NatsPath>()
    for (const relay of relayNames(options.relays ?? 1)) {
      const path = await openNatsPath(nats.nodes)
      opened.push(path.close)
      paths.set(relay, path)
    }
    const shop = { replicas: nats.nodes.length, relayNatsUrl: (relay: string) => paths.get(relay)?.url ?? nats.url }
    return { own: { nats, paths }, shop }
  })
}

interface Broker<Own> {
  readonly own: Own
  /** What the shop is opened with because of it. */
  readonly shop: Partial<ShopOptions>
}

type Ends = (() => Promise<void>)[]

async function open<Own extends { readonly nats: { readonly url: string } }>(
  folder: string,
  options: StageOptions,
  openBroker: (opened: Ends) => Promise<Broker<Own>>,
): Promise<Stage<Own['nats']> & Own> {
  await builtPackages()
  const opened: Ends = []
  const close = async () => {
    for (const end of opened.splice(0).reverse()) await end()
  }
  try {
    const settings = { track_commit_timestamp: 'on' }
    const dataDir = join(folder, 'postgres')
    const postgres = await startPostgres({ dataDir, binaries: postgresSource(), settings })
    opened.push(postgres.stop)
    const { own, shop: forShop } = await openBroker(opened)
    const shopOptions = { folder: join(folder, 'shop'), postgresUrl: postgres.url, natsUrl: own.nats.url, relays: 1 }
    const shop = await openShop({ ...shopOptions, ...forShop, ...options })
    opened.push(shop.close)
    await shop.start()
    const { mail } = shop
    if (mail === undefined) throw new Error('a shop with NATS has a mail service')
    return Object.assign(shop, own, { postgres, mail, [Symbol.asyncDispose]: close })
  } catch (error) {
    await close()
    throw error
  }
}
