import { isDestinationName, parseSigningSecret, REDIS_OUTBOX_NAME } from 'postcommit/protocol'
import { z } from 'zod'
import { type AddressRulesOptions, readAddressRules } from '../destinations/address-rules.ts'
import { subjectFilterProblem } from '../engine/subject-filter.ts'
import { destinationUrlProblem, postgresUrlProblem, redisUrlProblem, streamSubjectProblem } from './formats.ts'

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** A whole number within bounds. */
const whole = (min: number, max: number) => z.int().min(min).max(max)

/** A text checked by a function that says what is wrong with it. */
const checked = (problem: (text: string) => string | undefined) =>
  z.string().superRefine((text, context) => {
    const message = problem(text)
    if (message !== undefined) context.addIssue({ code: 'custom', message })
  })

const name = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, 'names are a-z 0-9 and -, starting with a letter')

const Database = z.strictObject({
  url: checked(postgresUrlProblem)
    .meta({ secret: true })
    .describe('postgres:// address of a primary, connected to directly: no transaction pooler in between.'),
})

const Destination = z.strictObject({
  url: checked(destinationUrlProblem).describe('Base address; the path of a call is joined to it.'),
  secrets: z
    .array(checked(signingSecretProblem).meta({ secret: true }))
    .max(4)
    .default([])
    .describe('Signing secrets (whsec_…). Several sign every call, which is how one is rotated; none: unsigned.'),
  timeoutMs: whole(100, 5 * MINUTE_MS)
    .default(10 * SECOND_MS)
    .describe('For a whole call, from connecting to the last byte of the answer.'),
  concurrency: whole(1, 1000)
    .default(32)
    .describe(
      'How many calls one relay has under way to it at once: messages, branches and back-queries of all its databases.',
    ),
  attemptsMax: whole(1, 1_000_000)
    .optional()
    .describe('After how many failed attempts a message is a dead letter. Without it: never, however long it takes.'),
  permanentAttemptsMax: whole(1, 1_000_000)
    .default(8)
    .describe('The same for answers that a retry seldom changes: 4xx other than 409, 410, 425 and 429.'),
  backOffBaseMs: whole(1, HOUR_MS)
    .default(SECOND_MS)
    .describe('The first pause between attempts; it doubles from there, with full jitter.'),
  backOffCapMs: whole(1, DAY_MS)
    .default(5 * MINUTE_MS)
    .describe('The longest pause between attempts.'),
})

const Stream = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, 'stream names are 1 to 64 of A-Z a-z 0-9 _ and -')
    .describe('Name of the JetStream stream.'),
  subjects: z
    .array(checked(streamSubjectProblem))
    .min(1)
    .max(100)
    .describe('Subjects that it takes, * and > allowed after the first token.'),
  create: z
    .boolean()
    .default(false)
    .describe(
      'Creates the stream if it is missing, also while relays run: an error, and what it had is published again. An existing one is never changed.',
    ),
  replicas: whole(1, 5).default(1).describe('Copies in a NATS cluster; for `create`.'),
  maxAgeMs: whole(MINUTE_MS, 3650 * DAY_MS)
    .optional()
    .describe('How long the stream keeps messages; for `create`. Without it: for ever.'),
  duplicateWindowMs: whole(SECOND_MS, DAY_MS)
    .default(10 * MINUTE_MS)
    .describe('How long JetStream recognises a message that is published again; for `create`.'),
})

const Nats = z.strictObject({
  servers: z
    .array(z.string().min(1))
    .max(32)
    .default([])
    .describe('Addresses of one NATS cluster; tls:// demands TLS. Without any, messages for NATS wait in the log.'),
  user: z.string().min(1).optional().describe('User name, with `password`.'),
  password: z.string().min(1).optional().meta({ secret: true }).describe('Password of `user`.'),
  token: z.string().min(1).optional().meta({ secret: true }).describe('Token, instead of a user.'),
  credsFile: z.string().min(1).optional().describe('Path of a .creds file (JWT and nkey), instead of a user.'),
  tls: z.boolean().default(false).describe('Demands TLS; without it TLS is used where the server offers it.'),
  tlsCaFile: z.string().min(1).optional().describe('Path of the CA certificate to trust, instead of the public ones.'),
  tlsCertFile: z.string().min(1).optional().describe('Path of the client certificate, with `tlsKeyFile`.'),
  tlsKeyFile: z.string().min(1).optional().describe('Path of the key of `tlsCertFile`.'),
  ackTimeoutMs: whole(100, MINUTE_MS)
    .default(2 * SECOND_MS)
    .describe('How long JetStream may take to acknowledge a message before it is published again.'),
  publishesInFlight: whole(1, 100_000)
    .default(1000)
    .describe('How many messages may be unacknowledged at once; also the most that a crash repeats.'),
  streams: z
    .array(Stream)
    .max(100)
    .default([])
    .describe('Streams to check at the start, and to create where they ask for it.'),
  cacheStream: z
    .boolean()
    .default(false)
    .describe('Creates the stream POSTCOMMIT_CACHE for the invalidations of caches (docs/cache.md) if it is missing.'),
})

const RedisOutbox = z.strictObject({
  url: checked(redisUrlProblem)
    .meta({ secret: true })
    .describe('redis:// address, rediss:// for TLS; of any node with `cluster`.'),
  cluster: z.boolean().default(false).describe('Whether it is a Redis Cluster.'),
  database: name.optional().describe('Name of the database that its entries are written into. Default: the only one.'),
  batch: whole(1, 5000).default(1000).describe('How many entries go into one transaction.'),
})

const Coordinator = z.strictObject({
  database: name
    .optional()
    .describe('Name of the database that holds global transactions. Without it this relay coordinates none.'),
  checks: z
    .record(z.string(), name)
    .default({})
    .describe(
      'Back-query destinations answered by SQL instead of a call: destination, and the name of one of `databases`.',
    ),
  checkSubjects: z
    .array(checked(subjectFilterProblem))
    .max(100)
    .default([])
    .describe(
      'Subjects on which back-queries may be sent over NATS (* and > allowed). Empty: back-queries never use NATS.',
    ),
  checkAfterMs: whole(1, DAY_MS)
    .default(10 * SECOND_MS)
    .describe('How long after its prepare the relay asks about a message, unless the message says when.'),
  deadlineMs: whole(SECOND_MS, 30 * DAY_MS)
    .default(35 * SECOND_MS)
    .describe('How long an initiator may take before the relay aborts what it began, unless it says how long.'),
  allowUrls: z
    .array(checked((entry) => addressRulesProblem({ allow: [entry] })))
    .max(1000)
    .default([])
    .describe(
      'Host names and networks whose addresses may come with a transaction. Without any: configured names only.',
    ),
  allowPorts: z
    .array(checked((entry) => addressRulesProblem({ allow: [], ports: [entry] })))
    .max(100)
    .default(['80', '443'])
    .describe('Ports, and ranges such as 8000-8999, of such addresses.'),
  alertUrl: checked(destinationUrlProblem)
    .optional()
    .describe('Called by POST when a branch fails again and again, or refuses what has been decided.'),
  alertEveryAttempts: whole(1, 1_000_000).default(3).describe('Alert after every so many failed attempts of a branch.'),
})

const Http = z.strictObject({
  enabled: z.boolean().default(true).describe('Whether /livez, /readyz and /metrics are served.'),
  host: z.string().min(1).default('127.0.0.1').describe('Address to listen on; another than loopback needs `token`.'),
  port: whole(0, 65535).default(4780).describe('Port to listen on; 0 takes a free one and logs it.'),
  token: z
    .string()
    .min(16)
    .optional()
    .meta({ secret: true })
    .describe(
      'Bearer token demanded by /metrics, by /api/metrics of DTM, and by the details of /readyz. /livez never asks for it.',
    ),
})

const Api = z.strictObject({
  enabled: z
    .boolean()
    .default(true)
    .describe('Whether the API is served; only by a relay that has a `coordinator.database`.'),
  host: z.string().min(1).default('127.0.0.1').describe('Address to listen on; another than loopback needs keys.'),
  port: whole(0, 65535).default(8484).describe('Port to listen on; 0 takes a free one and logs it.'),
  auth: z
    .enum(['keys', 'none'])
    .default('keys')
    .describe('`keys`: a request needs an API key (`postcommit api-key create`). `none`: only on loopback.'),
  operationsPerSecond: whole(1, 1_000_000)
    .optional()
    .describe('How many operations a second the keys of one tenant may ask each relay for. Without it: no limit.'),
})

const Dtm = z.strictObject({
  enabled: z
    .boolean()
    .default(false)
    .describe('Whether the HTTP protocol of DTM is served, so that its clients need not change (docs/dtm.md).'),
  host: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe('Address to listen on; another than loopback needs `allowExposed`.'),
  port: whole(0, 65535)
    .default(36789)
    .describe('Port to listen on, default that of DTM; 0 takes a free one and logs it.'),
  strict: z
    .boolean()
    .default(true)
    .describe('Where DTM is less careful than this relay, its clients get the care of this relay.'),
  allowExposed: z
    .boolean()
    .default(false)
    .describe('Listens beyond this host although DTM has no authentication: a network or a proxy keeps others out.'),
})

const Log = z.strictObject({
  level: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('The least severe lines that are written.'),
  format: z.enum(['json', 'text']).default('json').describe('One JSON document a line, or a line of text.'),
})

/**
 * The whole configuration of a relay. Every option is here, with its bounds, its default and its meaning; flags,
 * environment variables, the table in docs/configuration.md and the JSON Schema for editors are derived from it.
 */
export const RelayConfig = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9._:-]{1,64}$/, 'relay names are 1 to 64 of A-Z a-z 0-9 . _ : and -')
    .optional()
    .describe('What this relay is called in `status` and in the log. Default: host name and process id.'),
  databases: z.record(name, Database).default({}).describe('The source databases by name; a relay serves all of them.'),
  allowPlaintext: z
    .array(z.string().min(1))
    .max(100)
    .default([])
    .describe('Other hosts whose PostgreSQL may be reached without TLS; only over a network that you trust.'),
  nats: Nats.prefault({}).describe('The broker.'),
  destinations: z
    .record(
      z.string().refine(isDestinationName, 'destination names are a-z 0-9 and -, start with a letter, not "nats"'),
      Destination,
    )
    .default({})
    .describe('The HTTP destinations by the name that services call them by.'),
  redisOutboxes: z
    .record(z.string().regex(REDIS_OUTBOX_NAME, 'names of outboxes are 1 to 64 of A-Z a-z 0-9 _ . and -'), RedisOutbox)
    .default({})
    .describe('The outboxes in Redis whose entries are written, by the name that `redisOutbox()` was given.'),
  coordinator: Coordinator.prefault({}).describe('Two-phase messages and sagas.'),
  retentionMs: whole(10 * MINUTE_MS, 365 * DAY_MS)
    .default(DAY_MS)
    .describe(
      'How long confirmed messages are kept: for `inspect`, and to publish again what a broker forgets. Nothing older is published again.',
    ),
  leaseMs: whole(2 * SECOND_MS, 10 * MINUTE_MS)
    .default(10 * SECOND_MS)
    .describe('A relay that has not been heard of for so long is replaced. A killed one is replaced at once.'),
  claimLeaseMs: whole(SECOND_MS, HOUR_MS)
    .default(MINUTE_MS)
    .describe('How long a claimed delivery belongs to a relay; more than twice the longest `timeoutMs`.'),
  drainMs: whole(0, 10 * MINUTE_MS)
    .default(25 * SECOND_MS)
    .describe('How long a stopping relay waits for what is under way.'),
  http: Http.prefault({}).describe('Health and metrics.'),
  api: Api.prefault({}).describe('The API of global transactions.'),
  dtm: Dtm.prefault({}).describe('The protocol of DTM.'),
  log: Log.prefault({}).describe('The log on standard output.'),
})

/** A configuration that has been checked, with every default filled in. */
export type RelayConfig = z.output<typeof RelayConfig>

function addressRulesProblem(options: AddressRulesOptions): string | undefined {
  try {
    readAddressRules(options)
    return undefined
  } catch (error) {
    return error instanceof RangeError ? error.message : 'it is no network'
  }
}

function signingSecretProblem(secret: string): string | undefined {
  try {
    parseSigningSecret(secret)
    return undefined
  } catch {
    return 'signing secrets are whsec_ followed by the base64 of 24 to 64 random bytes'
  }
}
