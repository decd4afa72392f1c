import { readFileSync } from 'node:fs'
import { cpus, totalmem, type } from 'node:os'
import { findRedisServer } from '@postcommit/relay/dev'
import { POSTGRES_SETTINGS, type Servers } from './servers.ts'

/** On what was measured, line by line. */
export function describeMachine({ postgres, nats }: Servers): readonly string[] {
  const all = cpus()
  return [
    `${all.length} × ${all[0]?.model.trim() ?? 'unknown processor'}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${type()}; clients, servers and everything measured share them`,
    `Node.js ${process.versions.node}, PostgreSQL ${postgres.version} (${settings()}), nats-server ${nats.version} (JetStream, file storage, one replica), Redis ${findRedisServer()?.version ?? 'none'}`,
    PEERS.map((name) => `${name} ${versionOf(name)}`).join(', '),
  ]
}

const PEERS = [
  'pg',
  'kysely',
  'undici',
  '@nats-io/jetstream',
  'redis',
  'ioredis',
  'pg-boss',
  'graphile-worker',
  'pg-transactional-outbox',
  'bentocache',
  '@epic-web/cachified',
]

function settings(): string {
  return ['fsync=on', 'synchronous_commit=on', ...Object.entries(POSTGRES_SETTINGS).map((pair) => pair.join('='))].join(
    ', ',
  )
}

function versionOf(name: string): string {
  const manifest = new URL(`../../node_modules/${name}/package.json`, import.meta.url)
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version
}
