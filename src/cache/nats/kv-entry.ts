/** What an invalidation has left of a value. */
export interface StaleValue {
  readonly text: string
  readonly claimedAt: number
  /** Until when it may be shown, by the server's clock, milliseconds. */
  readonly until: number
}

/** What is stored under a key. */
export type KvEntry = {
  /** The invalidation that was applied last. */
  readonly applied?: string | undefined
} & (
  | { readonly kind: 'value'; readonly text: string; readonly claimedAt: number; readonly ttlMs: number }
  | { readonly kind: 'lock'; readonly leaseMs: number; readonly stale?: StaleValue | undefined }
  | { readonly kind: 'void'; readonly stale?: StaleValue | undefined }
)

interface Head {
  readonly kind: KvEntry['kind']
  readonly ttlMs?: number
  readonly claimedAt?: number
  readonly leaseMs?: number
  readonly until?: number
  readonly applied?: string
}

/** An entry as the content of a message: a line of JSON about it, then the text of its value. */
export function encodeEntry(entry: KvEntry): string {
  const { kind, applied } = entry
  if (entry.kind === 'value') {
    const { ttlMs, claimedAt, text } = entry
    return `${JSON.stringify({ kind, ttlMs, claimedAt, applied })}\n${text}`
  }
  const { stale } = entry
  const head: Head = {
    kind,
    ...(entry.kind === 'lock' && { leaseMs: entry.leaseMs }),
    ...(stale !== undefined && { claimedAt: stale.claimedAt, until: stale.until }),
    ...(applied !== undefined && { applied }),
  }
  return `${JSON.stringify(head)}\n${stale?.text ?? ''}`
}

/** The entry that a content holds. Of what is none, nothing is left: whatever it was, it is loaded anew. */
export function decodeEntry(content: string): KvEntry {
  const end = content.indexOf('\n')
  try {
    const head = JSON.parse(content.slice(0, end)) as Head
    const { kind, applied, ttlMs = 0, claimedAt = 0, leaseMs = 0, until } = head
    const text = content.slice(end + 1)
    if (kind === 'value') return { kind, text, claimedAt, ttlMs, applied }
    const stale = until === undefined ? undefined : { text, claimedAt, until }
    return kind === 'lock' ? { kind, leaseMs, stale, applied } : { kind: 'void', stale, applied }
  } catch {
    return { kind: 'void' }
  }
}

/** A key as one token of a subject: everything but letters, digits, _ and - becomes `=` and two hexadecimal digits. */
export function encodeKey(key: string): string {
  return key.replace(/[^A-Za-z0-9_-]/gu, (character) =>
    Array.from(
      new TextEncoder().encode(character),
      (byte) => `=${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    ).join(''),
  )
}
