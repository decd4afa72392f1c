import type { TransactionStatus } from 'postcommit/protocol'
import { isFinal } from './transaction.ts'

/** A message with an ordering key, as far as its place in line goes. */
export interface Queued {
  readonly gid: string
  readonly key: string
  /** Its place among those of its key: rises with the order in which they were prepared. */
  readonly place: number
  readonly status: TransactionStatus
}

/** Who may go and who waits for whom. */
export interface KeyOrder {
  /** Each message that has to wait, and the head of its key that it waits for. */
  readonly behind: ReadonlyMap<string, string>
  /** Undecided heads that others wait for: to be asked about now instead of at their check time. */
  readonly expedite: readonly string[]
}

/**
 * Lines messages up by key. The first that is not settled is the head of its key; what follows waits, whatever its own
 * status, and messages of other keys do not. A head that is still undecided cannot be skipped (it may have been
 * committed first), so it is decided sooner: its check does not wait for its time while somebody waits for it.
 */
export function lineUp(queue: readonly Queued[]): KeyOrder {
  const heads = new Map<string, Queued>()
  const open = queue.filter(({ status }) => !isFinal(status)).sort((a, b) => a.place - b.place)
  const behind = new Map<string, string>()
  const expedite = new Set<string>()
  for (const message of open) {
    const head = heads.get(message.key)
    if (head === undefined) {
      heads.set(message.key, message)
      continue
    }
    behind.set(message.gid, head.gid)
    // Another undecided message is nobody that waits: it may never be sent.
    if (head.status === 'prepared' && message.status === 'submitted') expedite.add(head.gid)
  }
  return { behind, expedite: [...expedite] }
}
