import { parseDestination, parsePath } from './destination.ts'
import { LIMITS } from './limits.ts'
import { readObject, readText, readWith, Unreadable } from './read-json.ts'
import { parseSubject } from './subject.ts'

/** Where something is sent: a configured destination and a path below it, an absolute URL, or a NATS subject. */
export type Target =
  | { readonly destination: string; readonly path: string }
  | { readonly url: string }
  | { readonly subject: string }

/** Where something is called and can answer. */
export type CallTarget = Exclude<Target, { readonly subject: string }>

/** Reads a {@link Target}. */
export function readTarget(value: unknown, path: string): Target {
  const fields = readObject(value, path)
  if ('subject' in fields) {
    const { subject } = readObject(value, path, ['subject'])
    return { subject: readWith(`${path}.subject`, () => parseSubject(subject as string)) }
  }
  return readCallTarget(value, path)
}

/** Reads a {@link CallTarget}. */
export function readCallTarget(value: unknown, path: string): CallTarget {
  const fields = readObject(value, path, ['destination', 'path', 'url'])
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
