import { join } from 'node:path'
import { configuredStreams } from '../../config/configured-streams.ts'
import { maskUrl } from '../../config/mask.ts'
import type { RelayConfig } from '../../config/schema.ts'
import { formatDuration } from '../../operators/duration.ts'
import { RELAY_VERSION } from '../../version.ts'
import { formatTable } from '../shell/table.ts'
import { DEV_FOLDER, type DevFacts } from './facts.ts'
import type { DevServers } from './servers.ts'
import { DEV_STREAM } from './streams.ts'

/** What `dev` tells about itself when it is ready. */
export interface DevReady {
  readonly config: RelayConfig
  readonly servers: DevServers
  readonly facts: Pick<DevFacts, 'healthUrl' | 'apiUrl' | 'apiKey' | 'dtmUrl'>
  /** Applied by this start. */
  readonly migrations: readonly string[]
  readonly cwd: string
  readonly readyMs: number
}

/** Where everything is, in aligned lines. */
export function devBanner({ config, servers, facts, migrations, cwd, readyMs }: DevReady): readonly string[] {
  const { healthUrl } = facts
  const { databaseName, databaseUrl, ownDatabase, nats } = servers
  // A password that only opens a server on this machine may be shown; anybody else's may not.
  const address = ownDatabase ? databaseUrl : maskUrl(databaseUrl)
  const rows = [
    ['PostgreSQL', databaseName],
    ['', `DATABASE_URL=${address}`],
    ['NATS', ...natsRows(nats)],
    ...(nats.kind === 'missing' ? [] : [['', `NATS_URL=${nats.kind === 'started' ? nats.url : maskUrl(nats.url)}`]]),
    ...streamRows(config, nats),
    ['Schema', migrations.length === 0 ? 'up to date' : `applied ${migrations.join(', ')}`],
    ...destinationRows(config),
    ['Relay', healthUrl === undefined ? 'running' : `${healthUrl}/readyz  ${healthUrl}/metrics`],
    ...apiRows(facts),
    ['Data', `${join(cwd, DEV_FOLDER)}, kept between runs`],
  ]
  return [
    `postcommit ${RELAY_VERSION}, development. Ready in ${formatDuration(readyMs)}.`,
    ...formatTable(rows, '  '),
    'What becomes of messages follows. Ctrl-C stops everything.',
  ]
}

function natsRows(nats: DevServers['nats']): string[] {
  switch (nats.kind) {
    case 'started':
      return [`nats-server ${nats.version}`]
    case 'configured':
      return ['configured']
    case 'missing':
      return [`not found: messages for NATS are held until it is there. To install it: ${nats.install}`]
  }
}

function streamRows(config: RelayConfig, nats: DevServers['nats']): string[][] {
  const rows = configuredStreams(config).map(({ name, subjects }, index) => [
    index === 0 ? 'Streams' : '',
    `${name} takes ${subjects.join(', ')}`,
  ])
  if (nats.kind !== 'started') return rows
  const others = rows.length === 0 ? 'every subject that is published' : 'what no other stream takes'
  return [...rows, [rows.length === 0 ? 'Streams' : '', `${DEV_STREAM} takes ${others}`]]
}

/** As the variables that a service reads, like the addresses of the servers. */
function apiRows({ apiUrl, apiKey, dtmUrl }: DevReady['facts']): string[][] {
  const lines = [
    ...(apiUrl === undefined ? [] : [`RELAY_URL=${apiUrl}`]),
    ...(apiKey === undefined ? [] : [`RELAY_API_KEY=${apiKey}`]),
  ]
  const api = lines.map((line, index) => [index === 0 ? 'API' : '', line])
  return dtmUrl === undefined ? api : [...api, ['DTM', dtmUrl]]
}

function destinationRows({ destinations }: RelayConfig): string[][] {
  return Object.entries(destinations).map(([name, { url }], index) => [index === 0 ? 'Calls' : '', `${name}  ${url}`])
}
