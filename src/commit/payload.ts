import { PostcommitError } from '../protocol/errors.ts'
import type { Content } from '../store/collected-message.ts'

const DEPTH_MAX = 64

/**
 * Turns a payload into the exact content that is stored, signed and sent.
 *
 * Values that JSON would change in silence are refused rather than changed: `NaN` becomes null, a `Map`, a promise and
 * an `Error` become `{}`, bytes inside become an object of numbers, a function disappears, a lone surrogate becomes
 * U+FFFD in a PostgreSQL text, NUL cannot be stored at all. Properties that are `undefined` are left out, as everywhere in
 * JavaScript; an object of a class is its enumerable properties, and must have one.
 *
 * @param target - the topic or destination, for the error
 * @throws `POSTCOMMIT_INVALID_PAYLOAD`, `POSTCOMMIT_PAYLOAD_TOO_LARGE`.
 */
export function encodePayload(payload: unknown, target: string, bytesMax: number): Content {
  if (payload instanceof Uint8Array) {
    limit(payload.byteLength, target, bytesMax)
    return { bytes: Buffer.from(payload) }
  }
  const problem = problemOf(payload, 'payload', 0, new Set())
  if (problem !== undefined) throw new PostcommitError('POSTCOMMIT_INVALID_PAYLOAD', { target, reason: problem })
  const text = JSON.stringify(payload)
  limit(Buffer.byteLength(text), target, bytesMax)
  return { text }
}

function limit(bytes: number, target: string, bytesMax: number): void {
  if (bytes > bytesMax) throw new PostcommitError('POSTCOMMIT_PAYLOAD_TOO_LARGE', { target, bytes, limit: bytesMax })
}

function problemOf(value: unknown, path: string, depth: number, ancestors: Set<object>): string | undefined {
  switch (typeof value) {
    case 'boolean':
      return undefined
    case 'number':
      return Number.isFinite(value) ? undefined : `${path} is ${value}`
    case 'string':
      return textProblem(value, path)
    case 'object':
      return value === null ? undefined : objectProblem(value, path, depth, ancestors)
    case 'undefined':
    case 'function':
    case 'symbol':
    case 'bigint':
      return `${path} is ${typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`}`
  }
}

function textProblem(text: string, path: string): string | undefined {
  if (text.includes('\0')) return `${path} has a NUL character`
  return isWellFormed(text) ? undefined : `${path} has a lone surrogate`
}

function objectProblem(value: object, path: string, depth: number, ancestors: Set<object>): string | undefined {
  if (depth > DEPTH_MAX) return `${path} is nested deeper than ${DEPTH_MAX}`
  if (ancestors.has(value)) return `${path} refers to itself`
  const lost = lostKind(value)
  if (lost !== undefined) return `${path} is ${lost}, which JSON cannot carry`
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    if (value instanceof Date && Number.isNaN(value.getTime())) return `${path} is an invalid Date`
    return problemOf(value.toJSON(''), path, depth + 1, ancestors)
  }
  ancestors.add(value)
  const problem = Array.isArray(value)
    ? first(value, (item, index) => problemOf(item, `${path}[${index}]`, depth + 1, ancestors))
    : recordProblem(value, path, depth, ancestors)
  ancestors.delete(value)
  return problem
}

/**
 * What JSON would lose of an object, if that is known. What a class of the platform holds is in no property, so JSON
 * writes `{}`: the same is true of any object without properties that is not a plain one.
 */
function lostKind(value: object): string | undefined {
  if (value instanceof Error) return 'an Error'
  if (ArrayBuffer.isView(value)) return 'bytes or a view of them'
  if (BOXED.some((boxed) => value instanceof boxed)) return 'a boxed primitive'
  const prototype: unknown = Object.getPrototypeOf(value)
  if (Array.isArray(value) || 'toJSON' in value || isPlain(prototype) || Object.keys(value).length > 0) return undefined
  const { name } = (prototype as object).constructor
  return `an object of the class ${name || '(without a name)'} without properties`
}

const BOXED = [Number, String, Boolean, BigInt, Symbol]

/** Also of another realm, as in a sandbox of tests: the one that has no prototype itself. */
function isPlain(prototype: unknown): boolean {
  return typeof prototype !== 'object' || prototype === null || Object.getPrototypeOf(prototype) === null
}

function recordProblem(value: object, path: string, depth: number, ancestors: Set<object>): string | undefined {
  return first(Object.entries(value), ([name, item]) => {
    if (item === undefined) return undefined
    return textProblem(name, `a name in ${path}`) ?? problemOf(item, `${path}.${name}`, depth + 1, ancestors)
  })
}

function first<Item>(items: Iterable<Item>, problem: (item: Item, index: number) => string | undefined) {
  let index = 0
  for (const item of items) {
    const found = problem(item, index)
    if (found !== undefined) return found
    index += 1
  }
  return undefined
}

// String.prototype.isWellFormed is in Node 20 but not in the ES2023 library that the types are held to.
function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text)
}
