/**
 * Settles as `promise` does, or as `late` says once `ms` have passed; then the promise goes on unheard.
 *
 * Not `Promise.race`: a race leaves a reaction at each of its promises until that one settles, so that racing against
 * one that lives long keeps memory with every turn. Here each call makes one promise and one timer, and neither
 * outlives it.
 */
export function within<T, L>(ms: number, promise: Promise<T>, late: () => L): Promise<T | L> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      try {
        resolve(late())
      } catch (error) {
        reject(error)
      }
    }, ms)
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
