/** A store did not answer in time; what it was asked may still happen. */
export class StoreTimeout extends Error {
  override readonly name = 'StoreTimeout'

  constructor(ms: number) {
    super(`no answer within ${ms} ms`)
  }
}

/** Waits for a promise no longer than `ms`; then it goes on unheard. */
export function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  // One promise and no race: every read of a cache comes through here.
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new StoreTimeout(ms)), ms)
    promise.then(
      (value) => {
        clearTimeout(timer)
        resolve(value)
      },
      (error: unknown) => {
        clearTimeout(timer)
        reject(error)
      },
    )
  })
}
