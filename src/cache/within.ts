import { within as settledWithin } from '../protocol/within.ts'

/** A store did not answer in time; what it was asked may still happen. */
export class StoreTimeout extends Error {
  override readonly name = 'StoreTimeout'

  constructor(ms: number) {
    super(`no answer within ${ms} ms`)
  }
}

/** Waits for a promise no longer than `ms`; then it goes on unheard. */
export function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  return settledWithin(ms, promise, (): never => {
    throw new StoreTimeout(ms)
  })
}
