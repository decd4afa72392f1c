import { encodePayload } from '../commit/payload.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { LIMITS } from '../protocol/limits.ts'
import { describeIssues, type SchemaResult, type StandardSchema } from '../standard-schema.ts'

/** Absence, as it is stored. */
const ABSENT = 'null'

/** How the values of a cache are written and read. */
export interface Codec<Value> {
  /**
   * What is stored for a value that was loaded.
   * @throws `POSTCOMMIT_UNSUITABLE_CACHE_VALUE`.
   */
  encode(key: string, loaded: unknown): string
  /** The value of a text, or why the schema refuses it. */
  decode(text: string): Decoded<Value> | Promise<Decoded<Value>>
}

/** A value, null for absence, or why the text is none. */
export type Decoded<Value> =
  | { readonly value: Value | null; readonly problem?: undefined }
  | { readonly problem: string }

/** Whether a text stands for absence. */
export function isAbsent(text: string): boolean {
  return text === ABSENT
}

/** @throws `POSTCOMMIT_UNSUITABLE_CACHE_VALUE`. */
export function refuseValue(key: string, reason: string, cause?: unknown): never {
  throw new PostcommitError('POSTCOMMIT_UNSUITABLE_CACHE_VALUE', { key, reason }, { cause })
}

/** The codec of a schema; without one, values are what JSON makes of them. */
export function createCodec<Value>(schema: StandardSchema<unknown, Value> | undefined): Codec<Value> {
  return {
    encode(key, loaded) {
      if (loaded === undefined || loaded === null) return ABSENT
      if (loaded instanceof Uint8Array) return refuseValue(key, 'it is bytes, not a JSON value')
      try {
        return encodePayload(loaded, key, LIMITS.payloadBytesHard).text ?? ABSENT
      } catch (cause) {
        return refuseValue(key, cause instanceof Error ? cause.message : String(cause), cause)
      }
    },
    decode(text) {
      if (text === ABSENT) return { value: null }
      let parsed: unknown
      try {
        parsed = JSON.parse(text)
      } catch {
        return { problem: 'it is not JSON' }
      }
      // Without a schema nothing narrows the value, and its type is the one that load() was declared with.
      if (schema === undefined) return { value: parsed as Value }
      const result = schema['~standard'].validate(parsed)
      return result instanceof Promise ? result.then(readResult) : readResult(result)
    },
  }
}

function readResult<Value>(result: SchemaResult<Value>): Decoded<Value> {
  if (result.issues !== undefined) return { problem: describeIssues(result.issues) }
  return { value: result.value }
}
