import { join } from 'node:path'
import { type NatsServer, type PostgresServer, startNats, startPostgres } from '@postcommit/relay/dev'
import { openShop, type Shop, type ShopOptions } from '../../examples/shop/shop.ts'
import { builtPackages } from '../support/built-packages.ts'
import { postgresSource } from '../support/postgres-source.ts'

/** A shop on servers of its own, all of which may be killed. */
export interface Stage extends Shop {
  readonly postgres: PostgresServer
  readonly nats: NatsServer
  readonly mail: NonNullable<Shop['mail']>
  /** Ends everything. */
  [Symbol.asyncDispose](): Promise<void>
}

/** What a stage can have differently. */
export type StageOptions = Partial<Pick<ShopOptions, 'relays' | 'leaseMs' | 'through'>>

/** Starts servers below `folder`, opens a shop on them and starts its cast; one relay unless told otherwise. */
export async function openStage(folder: string, options: StageOptions = {}): Promise<Stage> {
  await builtPackages()
  const opened: (() => Promise<void>)[] = []
  const close = async () => {
    for (const end of opened.splice(0).reverse()) await end()
  }
  try {
    const settings = { track_commit_timestamp: 'on' }
    const dataDir = join(folder, 'postgres')
    const postgres = await startPostgres({ dataDir, binaries: postgresSource(), settings })
    opened.push(postgres.stop)
    const nats = await startNats({ storeDir: join(folder, 'nats') })
    opened.push(nats.stop)
    const shopOptions = { folder: join(folder, 'shop'), postgresUrl: postgres.url, natsUrl: nats.url, relays: 1 }
    const shop = await openShop({ ...shopOptions, ...options })
    opened.push(shop.close)
    await shop.start()
    const { mail } = shop
    if (mail === undefined) throw new Error('a shop with NATS has a mail service')
    return Object.assign(shop, { postgres, nats, mail, [Symbol.asyncDispose]: close })
  } catch (error) {
    await close()
    throw error
  }
}
