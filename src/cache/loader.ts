import { AsyncLocalStorage } from 'node:async_hooks'

/** Loads one value. */
export type Load<Id> = (id: Id) => Promise<unknown>

interface Wanted<Id> {
  readonly id: Id
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

/**
 * What is wanted within one turn of the event loop is loaded by one call. It is for several readers, so it runs in the
 * asynchronous context of none of them: a tenant or user that one of them had stored there is not that of the others.
 */
export function gatherLoads<Id>(
  loadMany: (ids: readonly Id[]) => Promise<readonly unknown[]> | readonly unknown[],
): Load<Id> {
  const outside = AsyncLocalStorage.snapshot()
  let wanted: Wanted<Id>[] = []

  async function loadWanted(): Promise<void> {
    const batch = wanted
    wanted = []
    try {
      const values = await loadMany(batch.map(({ id }) => id))
      if (!Array.isArray(values) || values.length !== batch.length) {
        throw new TypeError(`loadMany() gave ${values?.length} values for ${batch.length} ids`)
      }
      for (const [index, { resolve }] of batch.entries()) resolve(values[index])
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }

  return (id) =>
    new Promise((resolve, reject) => {
      if (wanted.push({ id, resolve, reject }) === 1) outside(() => setImmediate(() => void loadWanted()))
    })
}
