import type pg from 'pg'
import type { Queryable } from './queryable.ts'

/** Runs several statements of one connection in one transaction. What `work` throws rolls it back. */
export async function inTransaction<T>(pool: pg.Pool, work: (client: Queryable) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  // pg reports the loss of a connection here as well as to the query; unheard, it would end the process.
  const ignore = (): void => undefined
  client.on('error', ignore)
  let broken: Error | undefined
  try {
    await client.query('begin')
    const value = await work(client)
    await client.query('commit')
    return value
  } catch (error) {
    broken = await client.query('rollback').then(
      () => undefined,
      (failure: Error) => failure,
    )
    throw error
  } finally {
    // A client that is thrown away may still hear that its session ends, and has no listener of the pool by then.
    if (broken === undefined) client.off('error', ignore)
    client.release(broken)
  }
}
