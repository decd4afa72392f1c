import type { PostcommitError } from '../protocol/errors.ts'
import type { PgClient } from './pg-transaction.ts'
import { refuseControl, transactionControlIn } from './transaction-identity.ts'

/** A client of a pool as it is handed to the work, whose `query` and `release` are ours for a while. */
export interface HoldableClient extends PgClient {
  release(destroy?: boolean): void
}

/** A client that is held. */
export interface HeldClient {
  /** The same client for our own statements, which begin and end the transaction. */
  readonly own: PgClient
  /** @throws what the work was refused, if it went on all the same: what was to be undone would stand. */
  requireNothingRefused(): void
  /** Gives the client its own methods back. */
  letGo(): void
}

/**
 * Keeps the work from ending the transaction on its client, and from giving the client back to its pool while the
 * transaction is open: the next user of the connection would be in it. Refused before anything is sent, so nothing that
 * follows stands by itself.
 */
export function holdClient(client: HoldableClient, caller: string): HeldClient {
  const { query, release } = client
  const held = client as { query: unknown; release: unknown }
  let refused: PostcommitError | undefined
  held.query = (...args: readonly unknown[]) => {
    const statement = transactionControlIn(textOf(args[0]))
    if (statement === undefined) return Reflect.apply(query, client, args)
    refused ??= refuseControl(statement, caller)
    return refuse(refused, args)
  }
  held.release = () => {
    refused ??= refuseControl('client.release()', caller)
    throw refused
  }
  return {
    own: {
      query: (text, values) => query.call(client, text, values),
      getTransactionStatus: () => client.getTransactionStatus?.() ?? null,
      get readyForQuery() {
        return client.readyForQuery ?? false
      },
      get pipeline() {
        return client.pipeline ?? false
      },
      ...(client.connection !== undefined && { connection: client.connection }),
    },
    requireNothingRefused() {
      if (refused !== undefined) throw refused
    },
    letGo() {
      // Put back by assignment: an object that a property was deleted from becomes slow for good.
      Object.assign(client, { query, release })
    },
  }
}

/** The text of what `query` is called with: a text, a config, a cursor. */
function textOf(query: unknown): unknown {
  return typeof query === 'object' && query !== null && 'text' in query ? query.text : query
}

/** As pg reports an error: to the callback, or by a rejection. */
function refuse(error: PostcommitError, args: readonly unknown[]): Promise<never> | undefined {
  const callback = args.find((arg) => typeof arg === 'function') as ((error: Error) => void) | undefined
  if (callback === undefined) return Promise.reject(error)
  callback(error)
  return undefined
}
