import { isLoopback } from '../http/loopback.ts'
import { repeatHorizonMs, takesInvalidations } from './configured-streams.ts'
import { remotePlaintextHost } from './formats.ts'
import type { RelayConfig } from './schema.ts'

/** What is wrong, and where. */
export interface ConfigProblem {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

/** What is wrong between options that are each right. */
export function crossFieldProblems(config: RelayConfig): readonly ConfigProblem[] {
  return [
    ...databases(config),
    ...nats(config),
    ...destinations(config),
    ...redisOutboxes(config),
    ...coordinator(config),
    ...http(config),
    ...api(config),
    ...dtm(config),
  ]
}

function* databases({ databases, allowPlaintext }: RelayConfig): Generator<ConfigProblem> {
  for (const [name, { url }] of Object.entries(databases)) {
    const host = remotePlaintextHost(url)
    if (host === undefined || allowPlaintext.includes(host)) continue
    yield {
      path: ['databases', name, 'url'],
      message: `the connection to ${host} would not be encrypted: add ?sslmode=verify-full to the URL, or ${host} to allowPlaintext if you trust the network`,
    }
  }
}

function* nats({ nats, retentionMs, leaseMs }: RelayConfig): Generator<ConfigProblem> {
  const ways = [nats.user ?? nats.password, nats.token, nats.credsFile].filter((way) => way !== undefined)
  if (ways.length > 1) yield { path: ['nats'], message: 'give only one of user and password, token, or credsFile' }
  if ((nats.user === undefined) !== (nats.password === undefined)) {
    yield { path: ['nats', nats.user === undefined ? 'user' : 'password'], message: 'user and password go together' }
  }
  if ((nats.tlsCertFile === undefined) !== (nats.tlsKeyFile === undefined)) {
    const missing = nats.tlsCertFile === undefined ? 'tlsCertFile' : 'tlsKeyFile'
    yield { path: ['nats', missing], message: 'tlsCertFile and tlsKeyFile go together' }
  }
  const names = nats.streams.map(({ name }) => name)
  const taken = nats.cacheStream ? nats.streams.find(takesInvalidations) : undefined
  if (taken !== undefined) {
    yield {
      path: ['nats', 'cacheStream'],
      message: `the stream ${taken.name} takes the invalidations of caches already`,
    }
  }
  for (const [index, { name, duplicateWindowMs }] of nats.streams.entries()) {
    if (names.indexOf(name) < index)
      yield { path: ['nats', 'streams', index, 'name'], message: `${name} is there twice` }
    const horizonMs = repeatHorizonMs({ nats, leaseMs })
    if (duplicateWindowMs < horizonMs) {
      yield {
        path: ['nats', 'streams', index, 'duplicateWindowMs'],
        message: `must be at least twice leaseMs plus nats.ackTimeoutMs, ${horizonMs}`,
      }
    }
    if (duplicateWindowMs > retentionMs) {
      yield {
        path: ['retentionMs'],
        message: `must be at least the duplicateWindowMs of stream ${name}, ${duplicateWindowMs}`,
      }
    }
  }
}

function* destinations({ destinations, claimLeaseMs }: RelayConfig): Generator<ConfigProblem> {
  for (const [name, { timeoutMs, backOffBaseMs, backOffCapMs }] of Object.entries(destinations)) {
    // A claim that runs out during a call would let a second relay make the same call.
    if (claimLeaseMs <= 2 * timeoutMs) {
      yield {
        path: ['claimLeaseMs'],
        message: `must be more than twice the timeoutMs of destination ${name}, ${timeoutMs}`,
      }
    }
    if (backOffCapMs < backOffBaseMs) {
      yield {
        path: ['destinations', name, 'backOffCapMs'],
        message: `must not be less than backOffBaseMs, ${backOffBaseMs}`,
      }
    }
  }
}

function* redisOutboxes({ redisOutboxes, databases }: RelayConfig): Generator<ConfigProblem> {
  const names = Object.keys(databases)
  for (const [outbox, { database }] of Object.entries(redisOutboxes)) {
    const path = ['redisOutboxes', outbox, 'database']
    if (database === undefined && names.length > 1) yield { path, message: `name one of ${names.join(', ')}` }
    if (database === undefined || names.length === 0 || names.includes(database)) continue
    yield { path, message: `there is no database ${database}` }
  }
}

function* coordinator({ coordinator, databases, nats }: RelayConfig): Generator<ConfigProblem> {
  const { database, checks } = coordinator
  // Without any it is `dev`, which starts one, or the command says what is missing.
  const isNamed = Object.keys(databases).length > 0
  if (database !== undefined && isNamed && databases[database] === undefined) {
    yield { path: ['coordinator', 'database'], message: `there is no database ${database}` }
  }
  for (const [destination, name] of Object.entries(checks)) {
    if (databases[name] !== undefined) continue
    yield { path: ['coordinator', 'checks', destination], message: `there is no database ${name}` }
  }
  if (coordinator.checkSubjects.length > 0 && nats.servers.length === 0) {
    yield { path: ['coordinator', 'checkSubjects'], message: 'needs nats.servers, where these subjects are' }
  }
}

function* http({ http }: RelayConfig): Generator<ConfigProblem> {
  if (!http.enabled || isLoopback(http.host) || http.token !== undefined) return
  yield {
    path: ['http', 'host'],
    message:
      'listening beyond this host needs http.token, so that a program on the network cannot read the metrics without it',
  }
}

function* api({ api, coordinator }: RelayConfig): Generator<ConfigProblem> {
  if (!api.enabled || coordinator.database === undefined || api.auth === 'keys' || isLoopback(api.host)) return
  yield {
    path: ['api', 'auth'],
    message:
      'listening beyond this host needs keys, so that a program on the network cannot end transactions without one',
  }
}

function* dtm({ dtm, coordinator }: RelayConfig): Generator<ConfigProblem> {
  if (!dtm.enabled) return
  if (coordinator.database === undefined) {
    yield { path: ['dtm', 'enabled'], message: 'needs coordinator.database, which holds what its clients submit' }
  }
  if (coordinator.allowUrls.length === 0) {
    yield {
      path: ['coordinator', 'allowUrls'],
      message: 'clients of DTM submit the addresses of their services: list the hosts or networks that may be called',
    }
  }
  if (!dtm.allowExposed && !isLoopback(dtm.host)) {
    yield {
      path: ['dtm', 'host'],
      message:
        'listening beyond this host needs dtm.allowExposed, because DTM has no authentication: a network or a proxy has to keep others out',
    }
  }
}
