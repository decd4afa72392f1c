/** Rows that were read before. */
export interface ReadCache<Key, Row> {
  read(key: Key): Promise<Row>
  /** To be called when a change has been committed; before that, a reader would put the old row back. */
  forget(key: Key): void
}

/** Remembers in this process what `load` gives. Several processes need a cache that they share. */
export function createReadCache<Key, Row>(load: (key: Key) => Promise<Row>): ReadCache<Key, Row> {
  const kept = new Map<Key, Row>()
  let changes = 0
  return {
    async read(key) {
      const found = kept.get(key)
      if (found !== undefined) return found
      const before = changes
      const row = await load(key)
      // What was read while something changed may be older than the change.
      if (changes === before) kept.set(key, row)
      return row
    },
    forget(key) {
      changes += 1
      kept.delete(key)
    },
  }
}
