import { type DestinationStream, type Logger, pino } from 'pino'
import { errorText, escapeUnshowable } from '../engine/error-text.ts'
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
 * Fields are shortened, and whatever would do something to a terminal is escaped: gids, topics and errors are written by
 * others. Two nets keep secrets out, because lines are written in many places: fields that hold secrets or what users sent
 * are removed by name, and passwords in addresses are masked wherever they stand, in error texts too.
 */
export function createLog({ name, level, format }: LogOptions, out: DestinationStream = process.stdout): Logger {
  const stream = format === 'json' ? out : { write: (line: string) => out.write(escapeUnshowable(formatLogLine(line))) }
  return pino(
    {
      level,
      base: { relay: name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: bounded },
      redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]), censor: '***' },
      hooks: { streamWrite: (line) => escapeUnshowable(maskAddresses(line)) },
    },
    stream,
  )
}

/** Rows and answers name things as long as they like. */
const FIELD_CHARACTERS_MAX = 500

function bounded(fields: Record<string, unknown>): Record<string, unknown> {
  const isLong = (value: unknown): value is string => typeof value === 'string' && value.length > FIELD_CHARACTERS_MAX
  if (!Object.values(fields).some(isLong)) return fields
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      isLong(value) ? errorText(value, FIELD_CHARACTERS_MAX) : value,
    ]),
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
