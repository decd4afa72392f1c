/** What is wrong with a value that came from outside, and where in it. */
export class Unreadable extends Error {
  override readonly name = 'Unreadable'
  /** Where: `operations[3].gid`; empty for the whole. */
  readonly path: string
  readonly reason: string

  constructor(path: string, reason: string) {
    super(path === '' ? reason : `${path}: ${reason}`)
    this.path = path
    this.reason = reason
  }
}

/** Reads a value at a path. */
export type Read<T> = (value: unknown, path: string) => T

/** The place of a field below a place. */
export function at(path: string, field: string | number): string {
  if (typeof field === 'number') return `${path}[${field}]`
  return path === '' ? field : `${path}.${field}`
}

/** The value of JSON text. */
export function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Unreadable('', 'it is not JSON')
  }
}

/**
 * Reads an object. With `known`, a field that is not among them is refused: what a sender asked for and the reader
 * has never heard of would otherwise be left undone in silence.
 */
export function readObject(value: unknown, path: string, known?: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Unreadable(path, 'not an object')
  const unknown = known === undefined ? undefined : Object.keys(value).find((name) => !known.includes(name))
  if (unknown !== undefined) throw new Unreadable(at(path, unknown.slice(0, 64)), 'there is no such field')
  return value as Readonly<Record<string, unknown>>
}

/** Reads a list of `least` to `most` items. */
export function readList<T>(
  value: unknown,
  path: string,
  [least, most]: readonly [number, number],
  read: Read<T>,
): T[] {
  if (!Array.isArray(value)) throw new Unreadable(path, 'not a list')
  if (value.length < least || value.length > most) {
    throw new Unreadable(path, `it has ${value.length} items, not ${least} to ${most}`)
  }
  return value.map((item, index) => read(item, at(path, index)))
}

/** Reads text that a database can hold and a log can show: no lone surrogates, no control characters. */
export function readText(value: unknown, path: string, charactersMax: number): string {
  if (typeof value !== 'string') throw new Unreadable(path, 'not a string')
  if (value === '') throw new Unreadable(path, 'it is empty')
  if (value.length > charactersMax) throw new Unreadable(path, `it has more than ${charactersMax} characters`)
  if (/[\p{Cc}\p{Surrogate}]/u.test(value)) throw new Unreadable(path, 'it has control characters or lone surrogates')
  return value
}

/** Reads an integer. */
export function readInteger(value: unknown, path: string, least: number, most: number): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most) return value
  throw new Unreadable(path, `not an integer from ${least} to ${most}`)
}

/** Reads `true` or `false`. */
export function readBoolean(value: unknown, path: string): boolean {
  if (typeof value === 'boolean') return value
  throw new Unreadable(path, 'neither true nor false')
}

/** Reads one of a few words. */
export function readWord<const Word extends string>(value: unknown, path: string, words: readonly Word[]): Word {
  const found = words.find((word) => word === value)
  if (found === undefined) throw new Unreadable(path, `not one of ${words.join(', ')}`)
  return found
}

/** Reads a field that may be absent; null is a value and no absence. */
export function readOptional<T>(value: unknown, path: string, read: Read<T>): T | undefined {
  return value === undefined ? undefined : read(value, path)
}

/** Runs a parser that throws a coded error of its own, and says where. */
export function readWith<T>(path: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw new Unreadable(path, error instanceof Error ? error.message : String(error))
  }
}

/** Leaves out the fields that are undefined, so that absence has one form and equal objects have equal JSON. */
export function withoutAbsent<T extends object>(fields: { [Name in keyof T]: T[Name] | undefined }): T {
  // Field by field: lists of entries in between take ten times as long, and every operation is read through here.
  const present: { [Name in keyof T]?: T[Name] } = {}
  for (const name in fields) if (fields[name] !== undefined) present[name] = fields[name]
  return present as T
}
