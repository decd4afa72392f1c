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

/** An invalidation of a commit, applied at once when it is committed; the message that says the same follows. */
export interface CollectedInvalidation {
  /** The number of its message within the transaction. */
  readonly branch: number
  readonly apply: ((invalidationId: string) => Promise<void>) | undefined
}
