import { PostcommitError } from 'postcommit/protocol'
import type { EventHub } from '../operators/event-hub.ts'
import type { ReadableSource } from '../operators/readable-source.ts'
import type { Caller } from './authenticator.ts'

/** How the relay that is asked stands with its broker. */
export interface BrokerState {
  readonly configured: boolean
  readonly connected: boolean
  readonly problem: string | undefined
}

/** What operators are shown and act on. */
export interface Operated {
  /** The source databases of the relay. */
  readonly sources: readonly ReadableSource[]
  readonly events: EventHub
  readonly broker: () => BrokerState
}

/** So long a query for an operator may take: it must not become a load of its own. */
export const QUERY_MS = 10_000

const QUERY_CANCELED = '57014'

/**
 * Messages are of services, and services have no tenants: a key of a tenant would see those of all others.
 * @throws `POSTCOMMIT_FORBIDDEN`.
 */
export function checkWholeDatabase({ tenant }: Caller): void {
  if (tenant === '') return
  const reason = `messages belong to the whole database, and this key to the tenant ${tenant}`
  throw new PostcommitError('POSTCOMMIT_FORBIDDEN', { reason })
}

/**
 * The source that a request names, or the only one.
 * @throws `POSTCOMMIT_UNKNOWN_SOURCE`.
 */
export function sourceOf(name: string | undefined, { operated }: { readonly operated: Operated }): ReadableSource {
  const { sources } = operated
  const [only] = sources
  if (name === undefined && only !== undefined && sources.length === 1) return only
  const named = sources.find(({ source }) => source === name)
  if (named !== undefined) return named
  const known = sources.map(({ source }) => source).join(', ')
  throw new PostcommitError('POSTCOMMIT_UNKNOWN_SOURCE', { source: name ?? '(none is named)', known })
}

/**
 * Asks a source something, and says what is wrong if it does not answer; what a database says is for the log alone.
 * @throws `POSTCOMMIT_QUERY_TOO_SLOW`, `POSTCOMMIT_SOURCE_UNREADABLE`.
 */
export async function ask<T>(
  { source }: ReadableSource,
  { onUnknownError }: { readonly onUnknownError: (error: unknown) => void },
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof PostcommitError) throw error
    onUnknownError(error)
    throw isTooSlow(error)
      ? new PostcommitError('POSTCOMMIT_QUERY_TOO_SLOW', { source, limitMs: QUERY_MS })
      : new PostcommitError('POSTCOMMIT_SOURCE_UNREADABLE', { source })
  }
}

function isTooSlow(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return ('code' in error && error.code === QUERY_CANCELED) || error.message === 'Query read timeout'
}
