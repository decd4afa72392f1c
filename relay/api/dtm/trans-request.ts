import { dtmGidProblem, dtmHeadersProblem } from '../../coordinator/intake/dtm-grammar.ts'
import { DtmError } from './dtm-error.ts'

/** What a client of DTM hands in, with the fields that are read here. Unknown ones are ignored, as DTM does. */
export interface TransRequest {
  readonly gid: string
  readonly transType: string
  readonly steps: readonly { readonly action: string; readonly compensate: string }[]
  /** One for each step; an empty one stands for none. */
  readonly payloads: readonly string[]
  readonly queryPrepared: string
  readonly protocol: string
  readonly customData: string
  readonly rollbackReason: string
  readonly options: TransOptions
}

/** How a transaction is carried out. Times are whole seconds; 0: DTM's default. */
export interface TransOptions {
  readonly waitResult: boolean
  readonly timeoutToFail: number
  readonly requestTimeout: number
  readonly retryInterval: number
  readonly retryLimit: number
  readonly concurrent: boolean
  readonly branchHeaders: Readonly<Record<string, string>>
}

/** A JSON object, its fields not looked at yet. */
export type Fields = Readonly<Record<string, unknown>>

const URL_CHARACTERS = 1024
const TEXT_CHARACTERS = 1024
const STEPS_MAX = 1000
const SECONDS_MAX = 366 * 24 * 60 * 60
const RETRIES_MAX = 1_000_000

/**
 * Reads what was handed in to prepare, submit and abort.
 * @throws {@link DtmError} with what is wrong, for a 500.
 */
export function readTransRequest(value: unknown, strict: boolean): TransRequest {
  const fields = readFields(value)
  const steps = readSteps(fields['steps'])
  return {
    gid: readGid(fields['gid'], strict),
    transType: text(fields, 'trans_type', 45),
    steps: steps.map(({ action, compensate }) => ({ action, compensate })),
    payloads: readPayloads(fields['payloads'], steps),
    queryPrepared: text(fields, 'query_prepared', URL_CHARACTERS),
    protocol: text(fields, 'protocol', 45) || 'http',
    customData: text(fields, 'custom_data', TEXT_CHARACTERS),
    rollbackReason: text(fields, 'rollback_reason', TEXT_CHARACTERS),
    options: {
      waitResult: boolean(fields, 'wait_result'),
      timeoutToFail: seconds(fields, 'timeout_to_fail'),
      requestTimeout: seconds(fields, 'request_timeout'),
      retryInterval: seconds(fields, 'retry_interval'),
      retryLimit: whole(fields, 'retry_limit', RETRIES_MAX),
      concurrent: boolean(fields, 'concurrent'),
      branchHeaders: readHeaders(fields['branch_headers']),
    },
  }
}

/** Reads an object; anything else is refused. */
export function readFields(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new DtmError('not a JSON object')
  return value as Fields
}

/** A map of texts, as branches are registered with. */
export function readStrings(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(readFields(value)).map(([name, content]) => {
      if (typeof content !== 'string') throw new DtmError(`${name}: not a string`)
      return [name, content]
    }),
  )
}

/**
 * Reads a gid: up to 128 characters of anything that can be shown. DTM drops line breaks and semicolons, by which two
 * gids become one; here they are refused, and dropped only where that is asked for.
 */
export function readGid(value: unknown, strict: boolean): string {
  if (typeof value !== 'string') throw new DtmError('gid: not a string')
  const gid = strict ? value : value.replace(/[\r\n;]/g, '')
  const problem = dtmGidProblem(gid)
  if (problem !== undefined) throw new DtmError(problem)
  return gid
}

/** Reads an optional text. */
function text(fields: Fields, name: string, charactersMax: number): string {
  const value = fields[name] ?? ''
  if (typeof value !== 'string') throw new DtmError(`${name}: not a string`)
  if (value.length > charactersMax) throw new DtmError(`${name}: longer than ${charactersMax} characters`)
  if (/\0|\p{Cs}/u.test(value)) throw new DtmError(`${name}: it has a NUL or half a surrogate pair`)
  return value
}

function boolean(fields: Fields, name: string): boolean {
  const value = fields[name] ?? false
  if (typeof value !== 'boolean') throw new DtmError(`${name}: neither true nor false`)
  return value
}

function seconds(fields: Fields, name: string): number {
  return whole(fields, name, SECONDS_MAX)
}

function whole(fields: Fields, name: string, max: number): number {
  const value = fields[name] ?? 0
  if (typeof value !== 'number' || !Number.isInteger(value)) throw new DtmError(`${name}: not a whole number`)
  if (value > max) throw new DtmError(`${name}: more than ${max}`)
  return Math.max(0, value)
}

interface Step {
  readonly action: string
  readonly compensate: string
  /** Where clients before 1.9 put the payload. */
  readonly data: string
}

function readSteps(value: unknown): readonly Step[] {
  const steps = value ?? []
  if (!Array.isArray(steps)) throw new DtmError('steps: not a list')
  if (steps.length > STEPS_MAX) throw new DtmError(`steps: more than ${STEPS_MAX}`)
  return steps.map((step: unknown) => {
    const fields = readFields(step)
    return {
      action: text(fields, 'action', URL_CHARACTERS),
      compensate: text(fields, 'compensate', URL_CHARACTERS),
      data: text(fields, 'data', Number.POSITIVE_INFINITY),
    }
  })
}

/** DTM puts the payloads first and the data of the steps behind them, whichever of them a client sends. */
function readPayloads(value: unknown, steps: readonly Step[]): readonly string[] {
  const given: unknown = value ?? []
  if (!Array.isArray(given)) throw new DtmError('payloads: not a list')
  const payloads = given.map((payload: unknown) => text({ payload }, 'payload', Number.POSITIVE_INFINITY))
  const all = [...payloads, ...steps.flatMap(({ data }) => (data === '' ? [] : [data]))]
  if (steps.length > 0 && all.length < steps.length) {
    throw new DtmError(`payloads: ${all.length} of them for ${steps.length} steps`)
  }
  return all.slice(0, steps.length)
}

function readHeaders(value: unknown): Readonly<Record<string, string>> {
  const headers = readFields(value ?? {})
  const problem = dtmHeadersProblem(headers)
  if (problem !== undefined) throw new DtmError(problem)
  return Object.fromEntries(Object.entries(headers).map(([name, content]) => [name.toLowerCase(), String(content)]))
}
