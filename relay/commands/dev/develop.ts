import { join } from 'node:path'
import type { Command } from 'commander'
import { NATS_DESTINATION } from 'postcommit/protocol'
import { takesInvalidations } from '../../config/configured-streams.ts'
import { type LoadedConfig, loadConfig } from '../../config/load.ts'
import type { RelayConfig } from '../../config/schema.ts'
import { lockFolder } from '../../dev/folder-lock.ts'
import { findProcess } from '../../dev/process-table.ts'
import { shownJson } from '../../engine/error-text.ts'
import { ListenFailed } from '../../http/http-server.ts'
import { createLog } from '../../observe/log.ts'
import { applyMigrations } from '../../store/migrate.ts'
import { type Daemon, DEFAULT_NAME, startDaemon } from '../daemon.ts'
import { givenFlags, isGiven } from '../shell/config-flags.ts'
import type { CommandContext } from '../shell/context.ts'
import { openSource, withClient } from '../shell/sources.ts'
import { describeEvent, tail } from '../tail.ts'
import { devBanner } from './banner.ts'
import { devApiKey } from './dev-api-key.ts'
import { DEV_FOLDER, removeDevFacts, writeDevFacts } from './facts.ts'
import { type DevServers, startDevServers } from './servers.ts'
import { keepDevStream } from './streams.ts'

/** Registers what must be undone at the end; undone in the reverse order, whatever happens in between. */
export type AtEnd = (undo: () => unknown) => void

/** Starts everything, says where it is, and shows what becomes of messages until it is told to stop. */
export async function develop(context: CommandContext, command: Command, atEnd: AtEnd): Promise<void> {
  const { cwd } = context
  const stop = context.stopSignal()
  const loaded = loadDevConfig(context, command)
  const lock = await lockFolder(join(cwd, DEV_FOLDER, 'dev'), 'postcommit dev')
  atEnd(() => lock.release())

  const servers = await startDevServers(cwd, loaded)
  atEnd(() => servers.stop())
  const config = devConfig(loaded, servers)
  const migrations = await migrate(config)
  const daemon = await startDevDaemon(config, loaded, cwd)
  atEnd(() => daemon.stop())

  const sources = await Promise.all(
    Object.entries(config.databases).map(([source, { url }]) => openSource(source, url)),
  )
  atEnd(() => Promise.all(sources.map(({ pool }) => pool.end())))
  const { api, dtm } = daemon.addresses
  const holder = sources.find(({ source }) => source === config.coordinator.database)
  const isKeyed = api !== undefined && config.api.auth === 'keys'
  const apiKey = isKeyed && holder !== undefined ? await devApiKey(holder.pool, cwd) : undefined

  const facts = {
    pid: process.pid,
    startedAt: findProcess(process.pid)?.startedAt ?? '',
    databaseUrl: servers.databaseUrl,
    ...(servers.natsUrl !== undefined && { natsUrl: servers.natsUrl }),
    ...(daemon.healthUrl !== undefined && { healthUrl: daemon.healthUrl }),
    ...(api !== undefined && { apiUrl: api, ...(apiKey !== undefined && { apiKey }) }),
    ...(dtm !== undefined && { dtmUrl: `${dtm}/api/dtmsvr` }),
  }
  writeDevFacts(cwd, facts)
  atEnd(() => removeDevFacts(cwd))

  if (servers.nats.kind === 'started') atEnd(await keepDevStream(sources, servers.nats.url))

  const json = isGiven(command, 'json')
  if (json) context.out(JSON.stringify({ event: 'ready', ...facts }))
  else {
    // Since the process began.
    const readyMs = performance.now()
    for (const line of devBanner({ config, servers, facts, migrations, cwd, readyMs })) context.out(line)
  }
  await tail(sources, stop, {
    show(event) {
      // The stream is being made at this moment, and the next attempt finds it.
      const homeless = event.destination === NATS_DESTINATION && event.detail?.startsWith('no stream takes') === true
      if (homeless && servers.nats.kind === 'started') return
      context.out(json ? shownJson(event) : describeEvent(event))
    },
    note: (text) => context.err(text),
  })
  if (!json) context.out('Stopping.')
}

// Those of production, as a rule.
const SERVERS_IN_FILE = [
  ['databases'],
  ['coordinator', 'database'],
  ['coordinator', 'checks'],
  ...['servers', 'user', 'password', 'token', 'credsFile', 'tls', 'tlsCaFile', 'tlsCertFile', 'tlsKeyFile'].map(
    (key) => ['nats', key],
  ),
]

/** Services of a developer run on this machine, at ports of their own. */
const DEFAULTS = [
  { path: ['coordinator', 'database'], value: 'main', source: 'dev' },
  { path: ['coordinator', 'allowUrls'], value: ['127.0.0.0/8', '::1'], source: 'dev' },
  { path: ['coordinator', 'allowPorts'], value: ['1-65535'], source: 'dev' },
]

/** Checked before anything is started. Servers are named by the environment and the command line only. */
function loadDevConfig(context: CommandContext, command: Command): LoadedConfig {
  const { NATS_URL, ...env } = context.env
  return loadConfig({
    cwd: context.cwd,
    env: { POSTCOMMIT_NATS_SERVERS: NATS_URL, ...env },
    flags: givenFlags(command),
    defaults: DEFAULTS,
    ignored: SERVERS_IN_FILE,
  })
}

function devConfig({ config, sourceOf }: LoadedConfig, { databaseUrl, nats, ownDatabase }: DevServers): RelayConfig {
  const isDefault = (key: keyof RelayConfig['log']) => sourceOf(['log', key]) === 'default'
  const streams = config.nats.streams.map((stream) => ({ ...stream, create: true }))
  const cacheStream = !streams.some(takesInvalidations)
  return {
    ...config,
    ...(ownDatabase && { databases: { main: { url: databaseUrl } } }),
    ...(nats.kind === 'started' && { nats: { ...config.nats, servers: [nats.url], streams, cacheStream } }),
    log: {
      level: isDefault('level') ? 'warn' : config.log.level,
      format: isDefault('format') ? 'text' : config.log.format,
    },
  }
}

async function migrate({ databases }: RelayConfig): Promise<readonly string[]> {
  const applied: string[] = []
  for (const [source, { url }] of Object.entries(databases)) {
    const migrations = await withClient(source, url, (client) => applyMigrations(client, source))
    applied.push(...migrations.map(({ name }) => name))
  }
  return applied
}

/** On the usual ports or, where another relay has one and nobody asked for it, on free ones. */
async function startDevDaemon(config: RelayConfig, loaded: LoadedConfig, cwd: string): Promise<Daemon> {
  const log = createLog({ name: config.name ?? DEFAULT_NAME, ...config.log })
  try {
    return await startDaemon(config, cwd, log)
  } catch (error) {
    if (!(error instanceof ListenFailed) || loaded.sourceOf([error.server, 'port']) !== 'default') throw error
    const { server } = error
    if (config[server].port === 0) throw error
    return startDevDaemon({ ...config, [server]: { ...config[server], port: 0 } }, loaded, cwd)
  }
}
