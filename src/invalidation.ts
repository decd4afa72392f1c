import { messageId } from './protocol/gid.ts'
import { within } from './protocol/within.ts'

/** What `message.invalidate` takes: the definitions of `postcommit/cache` fit. */
export interface Invalidatable<Id> {
  /** The name under which the value is cached, by whatever caches. */
  readonly name: string
  /** The text that tells one value from another. */
  keyOf(id: Id): string
  /**
   * Applies it to the cache at hand, for a commit that need not wait for the relay.
   * @param invalidationId - the same here and through the relay, so that the second changes nothing
   */
  apply?(key: string, invalidationId: string): Promise<void>
}

/** An invalidation of a commit; the message that says the same is numbered `branch`. */
export interface CollectedInvalidation {
  readonly branch: number
  readonly values: Pick<Invalidatable<never>, 'apply'>
  readonly key: string
}

/** Whether the caches at hand have applied the invalidations of a commit, or the relay still has to see to it. */
export type InvalidationState = 'applied' | 'pending'

const TIMEOUT_MS = 2000

/**
 * Applies the invalidations of a transaction that is committed. Never rejects: what is not applied now is applied by
 * whoever receives the messages of the commit.
 */
export async function applyCommitted(
  gid: string,
  invalidations: readonly CollectedInvalidation[],
  timeoutMs: number = TIMEOUT_MS,
): Promise<InvalidationState> {
  const all = Promise.all(
    invalidations.map(async ({ branch, values, key }) => {
      // Where the values are only known by their name, the relay alone reaches the caches that have them.
      if (values.apply === undefined) throw new Error('there is no cache at hand')
      await values.apply(key, messageId(gid, branch))
    }),
  )
  const applied = all.then(() => 'applied' as const)
  return await within(timeoutMs, applied, () => 'pending' as const).catch(() => 'pending' as const)
}
