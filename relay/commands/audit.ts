import { connect } from '@nats-io/transport-node'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { RelayConfig } from '../config/schema.ts'
import { formatDuration, parseDuration } from '../operators/duration.ts'
import { selectAcknowledgingStreams } from '../store/log/audit-log.ts'
import { clearDoubt } from '../store/member/note-whereabouts.ts'
import type { Audit } from './audit-streams.ts'
import { addConfigFlags, isGiven } from './shell/config-flags.ts'
import type { CommandContext } from './shell/context.ts'
import { ExitCode } from './shell/exit-code.ts'
import { natsConnection } from './shell/relay-options.ts'
import { loadSourceConfig, type OpenSource, withSources } from './shell/sources.ts'
import { formatTable } from './shell/table.ts'

interface AuditCommandOptions {
  readonly since: number
  readonly stream?: readonly string[]
  readonly acknowledge?: boolean
  readonly limit: number
}

const SINCE_MS = 3_600_000
const CONNECT_TIMEOUT_MS = 5000

export function auditCommand(context: CommandContext): Command {
  return addConfigFlags(new Command('audit'))
    .description('lists what the broker has and the database has not: after a fail-over, or a restored backup')
    .addOption(
      new Option('--since <time>', 'published within; no more than is kept')
        .default(SINCE_MS, '1h')
        .argParser(parseTime),
    )
    .addOption(new Option('--stream <name...>', 'streams to read (default: those that have acknowledged messages)'))
    .addOption(new Option('--limit <n>', 'messages to list').default(1000).argParser(parseLimit))
    .option('--acknowledge', 'forget the doubt about each database afterwards, because what is missing is dealt with')
    .action(async (options: AuditCommandOptions, command: Command) => {
      const { config } = loadSourceConfig(context, command)
      if (config.nats.servers.length === 0) return command.error('error: name the broker with --nats-servers')
      const { audit, doubts } = await withSources(context, command, async (sources) => {
        const audit = await auditSources(sources, config, context.cwd, options)
        const cleared = options.acknowledge === true ? sources : []
        const doubts = await Promise.all(
          cleared.map(async ({ source, pool }) => ({ source, doubt: (await clearDoubt(pool)) ?? null })),
        )
        return { audit, doubts }
      })
      if (audit.missingCount > 0) context.finish(ExitCode.Failed)
      if (isGiven(command, 'json')) context.out(JSON.stringify({ ...audit, acknowledged: doubts }, null, 2))
      else for (const line of describe(audit, options, doubts)) context.out(line)
    })
}

async function auditSources(
  sources: readonly OpenSource[],
  config: RelayConfig,
  cwd: string,
  { since, stream, limit }: AuditCommandOptions,
): Promise<Audit> {
  const { auditStreams } = await import('./audit-streams.ts')
  const remembered = await Promise.all(sources.map(({ pool }) => selectAcknowledgingStreams(pool)))
  const streams = stream ?? [...new Set([...remembered.flat(), ...config.nats.streams.map(({ name }) => name)])].sort()
  const keptFromMs = Date.now() - config.retentionMs
  const options = { streams, fromMs: Math.max(keptFromMs, Date.now() - since), keptFromMs, limit }
  const nc = await connect({ ...natsConnection(config.nats, cwd), timeout: CONNECT_TIMEOUT_MS, reconnect: false })
  const clients = await Promise.all(sources.map(({ pool }) => pool.connect()))
  try {
    return await auditStreams(nc, clients, options)
  } finally {
    // Their temporary tables go with them.
    for (const client of clients) client.release(true)
    await nc.close()
  }
}

function describe(
  { streams, missing, missingCount, notJudged }: Audit,
  { since }: AuditCommandOptions,
  doubts: readonly { readonly source: string; readonly doubt: string | null }[],
): readonly string[] {
  const read = streams.map(({ stream, messages }) => `${messages} of ${stream}`).join(', ')
  const rows = missing.map(({ id, stream, sequence, publishedAt }) => [
    id,
    stream,
    String(sequence),
    publishedAt.toISOString(),
  ])
  return [
    `Read what was published within ${formatDuration(since)}: ${read === '' ? 'no stream is known' : read}.`,
    ...(notJudged === 0
      ? []
      : [`${notJudged} of them have no message id of a relay, or are older than what the log keeps.`]),
    missingCount === 0
      ? 'Every other message is known to a database.'
      : `${missingCount} messages are known to no database: their transactions are lost, or others publish to the stream.`,
    ...formatTable(rows.length === 0 ? [] : [['MESSAGE', 'STREAM', 'SEQUENCE', 'PUBLISHED'], ...rows], '  '),
    ...(missing.length < missingCount ? [`More: --limit ${missingCount}`] : []),
    ...doubts.map(
      ({ source, doubt }) => `${source}: ${doubt === null ? 'there was no doubt' : `acknowledged: ${doubt}`}`,
    ),
  ]
}

function parseTime(text: string): number {
  const milliseconds = parseDuration(text)
  if (milliseconds === undefined) throw new InvalidArgumentError('Times are a whole number with ms, s, m, h or d.')
  return milliseconds
}

function parseLimit(text: string): number {
  const limit = Number(text)
  if (!Number.isInteger(limit) || limit < 1) throw new InvalidArgumentError('A whole number from 1 on.')
  return limit
}
