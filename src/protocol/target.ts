import { parseDestination, parsePath } from './destination.ts'
import { LIMITS } from './limits.ts'
import { readObject, readText, readWith, Unreadable } from './read-json.ts'
import { parseSubject } from './subject.ts'

/** Where something is sent: a configured destination and a path below it, an absolute URL, or a NATS subject. */
export type Target =
  | { readonly destination: string; readonly path: string }
  | { readonly url: string }
  | { readonly subject: string }

/** A name for several targets: all that have subscribed to it when the branch runs. */
export interface TopicTarget {
  readonly topic: string
}

/** Where an action is sent. What undoes or confirms knows whom it has to do with, so it never goes to a topic. */
export type ActionTarget = Target | TopicTarget

/** Reads an {@link ActionTarget}. */
export function readActionTarget(value: unknown, path: string): ActionTarget {
  if (!('topic' in readObject(value, path))) return readTarget(value, path)
  const { topic } = readObject(value, path, ['topic'])
  if (isTopicName(topic)) return { topic }
  throw new Unreadable(`${path}.topic`, 'not 1 to 128 of A-Z a-z 0-9 _ . and -')
}

/** Whether a value can be the name of a topic. */
export function isTopicName(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9_.-]{1,128}$/.test(value)
}

/** Reads a {@link Target}. */
export function readTarget(value: unknown, path: string): Target {
  const fields = readObject(value, path, ['destination', 'path', 'url', 'subject'])
  if ('subject' in fields) {
    const { subject } = readObject(value, path, ['subject'])
    return { subject: readWith(`${path}.subject`, () => parseSubject(subject as string)) }
  }
  if ('url' in fields) {
    const { url } = readObject(value, path, ['url'])
    return { url: readUrl(url, `${path}.url`) }
  }
  return {
    destination: readWith(`${path}.destination`, () => parseDestination(fields['destination'] as string)),
    path: readWith(`${path}.path`, () => parsePath(fields['path'] as string)),
  }
}

/**
 * Reads an absolute http or https URL. It is kept as it was written: whoever calls it decides on the parsed form, and
 * whether the host is one that may be called at all.
 */
export function readUrl(value: unknown, path: string): string {
  const text = readText(value, path, LIMITS.urlCharacters)
  const url = URL.canParse(text) && /^[\x21-\x7e]+$/.test(text) ? new URL(text) : undefined
  if (url === undefined) throw new Unreadable(path, 'not an absolute URL')
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new Unreadable(path, 'neither http nor https')
  if (url.username !== '' || url.password !== '') throw new Unreadable(path, 'it has a user or a password')
  if (text.includes('#') || text.includes('\\')) throw new Unreadable(path, 'it has a # or a backslash')
  return text
}
