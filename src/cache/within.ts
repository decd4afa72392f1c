/** A store did not answer in time; what it was asked may still happen. */
export class StoreTimeout extends Error {
  override readonly name = 'StoreTimeout'

  constructor(ms: number) {
    super(`no answer within ${ms} ms`)
  }
}

/** Waits for a promise no longer than `ms`; then it goes on unheard. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  try {
    return await Promise.race([
      promise,
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new StoreTimeout(ms)), ms)
      }),
    ])
  } finally {
    clearTimeout(timer)
  }
}
