import { rmSync } from 'node:fs'
import { findNatsServer, natsInstallCommand, startNats, startPostgres } from '@postcommit/relay/dev'
import { openShop, type Shop } from '../shop/shop.ts'
import { say } from './timeline.ts'

const FOLDER = '.postcommit/demo'

/** What has to be closed, the last first. */
const opened: (() => Promise<void>)[] = []
let closing: Promise<void> | undefined

/** Starts the servers and opens a shop on them; without nats-server, one without mail. */
export async function openStage(): Promise<Shop> {
  // Only PostgreSQL's data stays, because making it takes a second; the databases in it are made anew.
  for (const leftover of ['nats', 'shop']) rmSync(`${FOLDER}/${leftover}`, { recursive: true, force: true })
  const settings = { track_commit_timestamp: 'on' }
  const postgres = await startPostgres({ dataDir: `${FOLDER}/postgres`, settings })
  opened.push(postgres.stop)
  say('up', `PostgreSQL ${postgres.version} (${postgres.source}) on ${postgres.host}:${postgres.port}`)
  const natsUrl = await openNats()
  const shop = await openShop({ folder: `${FOLDER}/shop`, postgresUrl: postgres.url, natsUrl, relays: 2 })
  opened.push(shop.close)
  return shop
}

/** Ends every process that was started. Called again, it waits for the first time to be done. */
export function closeStage(): Promise<void> {
  closing ??= closeAll()
  return closing
}

async function closeAll(): Promise<void> {
  for (const close of opened.splice(0).reverse()) {
    await close().catch((error: unknown) => console.error(error))
  }
}

async function openNats(): Promise<string | undefined> {
  if (findNatsServer() === undefined) {
    say('note', `nats-server is missing, so mails must wait; to have them sent: ${natsInstallCommand()}`)
    return undefined
  }
  const nats = await startNats({ storeDir: `${FOLDER}/nats` })
  opened.push(nats.stop)
  say('up', `nats-server ${nats.version} on ${nats.host}:${nats.port}`)
  return nats.url
}
