import { type DestinationStream, type Logger, pino } from 'pino'
import { formatLogLine } from './log-text.ts'
import { maskAddresses } from './mask-addresses.ts'

/** How the log is written. */
export interface LogOptions {
  /** Goes into every line, as `relay`. */
  readonly name: string
  readonly level: string
  readonly format: 'json' | 'text'
}

/**
 * The log of a relay. Lines name things by these fields only: `relay`, `source`, `shard`, `destination`, `gid`,
 * `branch`, `error`.
 *
 * Two nets keep secrets out, because lines are written in many places: fields that hold secrets or what users sent
 * are removed by name, and passwords in addresses are masked wherever they stand, in error texts too.
 */
export function createLog({ name, level, format }: LogOptions, out: DestinationStream = process.stdout): Logger {
  const stream = format === 'json' ? out : { write: (line: string) => out.write(formatLogLine(line)) }
  return pino(
    {
      level,
      base: { relay: name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]), censor: '***' },
      hooks: { streamWrite: maskAddresses },
    },
    stream,
  )
}

const SECRET_FIELDS = [
  'authorization',
  'cookie',
  'password',
  'token',
  'secret',
  'secrets',
  'credentials',
  'payload',
  'body',
  'content',
]
