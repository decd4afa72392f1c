import type pg from 'pg'

/** A source database, as operators read it and act on it. */
export interface ReadableSource {
  /** Its name in the configuration. */
  readonly source: string
  readonly pool: pg.Pool
}
