import { setTimeout as wait } from 'node:timers/promises'
import { selectTrouble } from '../store/broker/select-trouble.ts'
import { type Standstill, standstillOf } from './find-standstills.ts'
import { followMessages, type MessageEvent } from './follow-messages.ts'
import type { ReadableSource } from './readable-source.ts'

/** What is told of a source database as it happens. */
export type SourceEvent =
  | { readonly kind: MessageEvent['event']; readonly data: MessageEvent }
  | {
      readonly kind: 'standstill' | 'standstill-over'
      readonly data: Standstill & { readonly source: string; readonly at: Date }
    }
  /** Something may have happened that is not told. */
  | { readonly kind: 'gap'; readonly data: { readonly source: string; readonly reason: string } }

const POLL_MS = 500

/**
 * Tells what happens in a source database until `stop` is aborted. A standstill that is there at the beginning is told;
 * messages before it are not. While the database is away it waits, and says so once it is back.
 */
export async function watchSource(
  source: ReadableSource,
  tell: (event: SourceEvent) => void,
  stop: AbortSignal,
): Promise<void> {
  let look: Awaited<ReturnType<typeof followMessages>> | undefined
  let standing: ReadonlyMap<string, Standstill> = new Map()
  let isAway = false
  while (!stop.aborted) {
    try {
      if (look === undefined) {
        look = await followMessages(source)
        if (isAway) tell(gap(source, 'the database could not be read; what happened meanwhile is not told'))
        isAway = false
      }
      const { events, more } = await look()
      for (const event of events) tell({ kind: event.event, data: event })
      if (more) tell(gap(source, 'more happened at once than is told'))
      standing = await tellStandstills(source, standing, tell)
    } catch {
      if (!isAway) tell(gap(source, 'the database cannot be read'))
      isAway = true
      look = undefined
    }
    await wait(POLL_MS, undefined, { signal: stop }).catch(() => undefined)
  }
}

async function tellStandstills(
  { source, pool }: ReadableSource,
  before: ReadonlyMap<string, Standstill>,
  tell: (event: SourceEvent) => void,
): Promise<ReadonlyMap<string, Standstill>> {
  const now = new Map((await selectTrouble(pool)).map((trouble) => [trouble.scope, standstillOf(trouble)]))
  const at = new Date()
  for (const [scope, standstill] of now) {
    if (!before.has(scope)) tell({ kind: 'standstill', data: { source, at, ...standstill } })
  }
  for (const [scope, standstill] of before) {
    if (!now.has(scope)) tell({ kind: 'standstill-over', data: { source, at, ...standstill } })
  }
  return now
}

function gap({ source }: ReadableSource, reason: string): SourceEvent {
  return { kind: 'gap', data: { source, reason } }
}
