import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { credsAuthenticator, type NodeConnectionOptions } from '@nats-io/transport-node'
import { PostcommitError } from 'postcommit/protocol'
import { configuredStreams } from '../../config/configured-streams.ts'
import type { RelayConfig } from '../../config/schema.ts'
import type { RelayOptions } from '../../relay.ts'

/**
 * The options of `createRelay` that a configuration stands for.
 * @param cwd - where relative paths of the configuration begin
 * @throws `POSTCOMMIT_INVALID_CONFIG` if a file that it names cannot be read.
 */
export function relayOptions(config: RelayConfig, cwd: string): Omit<RelayOptions, 'log' | 'metrics'> {
  const { name, nats, leaseMs, claimLeaseMs, retentionMs, drainMs } = config
  const destinations = Object.entries(config.destinations).map(
    ([of, { backOffBaseMs, backOffCapMs, attemptsMax, ...rest }]) => [
      of,
      {
        ...rest,
        ...(attemptsMax !== undefined && { attemptsMax }),
        backOff: { baseMs: backOffBaseMs, capMs: backOffCapMs },
      },
    ],
  )
  return {
    ...(name !== undefined && { name }),
    databases: Object.fromEntries(Object.entries(config.databases).map(([of, { url }]) => [of, url])),
    ...(nats.servers.length > 0 && {
      nats: {
        connection: natsConnection(nats, cwd),
        streams: configuredStreams(config).map(({ maxAgeMs, ...stream }) => ({
          ...stream,
          ...(maxAgeMs !== undefined && { maxAgeMs }),
        })),
        ackTimeoutMs: nats.ackTimeoutMs,
      },
    }),
    publishesInFlight: nats.publishesInFlight,
    destinations: Object.fromEntries(destinations),
    ...coordinatorOptions(config),
    leaseMs,
    claimLeaseMs,
    retentionMs,
    drainMs,
  }
}

function coordinatorOptions(config: RelayConfig): Pick<RelayOptions, 'coordinator' | 'api' | 'dtm'> {
  const { coordinator, api, dtm, http } = config
  const {
    database,
    checks,
    checkSubjects,
    checkAfterMs,
    deadlineMs,
    allowUrls,
    allowPorts,
    alertUrl,
    alertEveryAttempts,
  } = coordinator
  if (database === undefined) return {}
  const urls = allowUrls.length > 0 && { urls: { allow: allowUrls, ports: allowPorts } }
  const alerts = alertUrl !== undefined && { alerts: { url: alertUrl, everyAttempts: alertEveryAttempts } }
  const { operationsPerSecond, host, port, auth } = api
  const { enabled, ...dtmOptions } = dtm
  const limit = operationsPerSecond !== undefined && { operationsPerSecond }
  return {
    coordinator: { database, checks, checkSubjects, checkAfterMs, deadlineMs, ...urls, ...alerts },
    ...(api.enabled && { api: { host, port, auth, ...limit } }),
    // The same metrics as under /metrics, so the same token.
    ...(enabled && { dtm: { ...dtmOptions, ...(http.token !== undefined && { metricsToken: http.token }) } }),
  }
}

/** What the NATS client takes. It ignores what an address says of user and TLS, so that is read out here. */
export function natsConnection(nats: RelayConfig['nats'], cwd: string): NodeConnectionOptions {
  const { servers, tls, tlsCaFile, tlsCertFile, tlsKeyFile } = nats
  const files = {
    ...(tlsCaFile !== undefined && { caFile: resolve(cwd, tlsCaFile) }),
    ...(tlsCertFile !== undefined && { certFile: resolve(cwd, tlsCertFile) }),
    ...(tlsKeyFile !== undefined && { keyFile: resolve(cwd, tlsKeyFile) }),
  }
  const demandsTls = tls || Object.keys(files).length > 0 || servers.some((server) => server.startsWith('tls://'))
  return {
    servers: servers.map((server) => server.replace(/^(\w+:\/\/)?([^@/]*@)?/, '')),
    ...credentials(nats, cwd),
    ...(demandsTls && { tls: files }),
  }
}

function credentials(
  { user, password, token, credsFile, servers }: RelayConfig['nats'],
  cwd: string,
): NodeConnectionOptions {
  if (credsFile !== undefined) return { authenticator: credsAuthenticator(readCreds(resolve(cwd, credsFile))) }
  if (token !== undefined) return { token }
  if (user !== undefined && password !== undefined) return { user, pass: password }
  const address = servers
    .map((server) => (URL.canParse(server) ? new URL(server) : undefined))
    .find((url) => url?.username)
  if (address === undefined) return {}
  const name = decodeURIComponent(address.username)
  return address.password === '' ? { token: name } : { user: name, pass: decodeURIComponent(address.password) }
}

function readCreds(path: string): Uint8Array {
  try {
    return readFileSync(path)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new PostcommitError('POSTCOMMIT_INVALID_CONFIG', { problems: `  - nats.credsFile: ${reason}` })
  }
}
