import type { NatsHeaders } from './nats-connection.ts'

/** What the server says instead of a message. */
export type PullStatus =
  /** It is there and has nothing. */
  | { readonly kind: 'heartbeat' }
  /** The request is over; ask again. */
  | { readonly kind: 'ended'; readonly unfilled: number | undefined }
  /** The request is over and asking again as before would not help: look at the consumer first. */
  | { readonly kind: 'trouble'; readonly reason: string }

/** Reads a status message of a pull request. */
export function readPullStatus(headers: NatsHeaders | undefined): PullStatus {
  const code = headers?.code ?? 0
  const description = headers?.description ?? ''
  switch (code) {
    case 100:
      return { kind: 'heartbeat' }
    case 404:
    case 408:
      return { kind: 'ended', unfilled: unfilled(headers) }
    case 409:
      // A full batch ends with 409 too. The other 409s are a consumer that was deleted, a server that shuts down, a
      // leader that changed, a limit that the request exceeds.
      return /batch completed/i.test(description)
        ? { kind: 'ended', unfilled: unfilled(headers) }
        : { kind: 'trouble', reason: `${code} ${description}` }
    default:
      return { kind: 'trouble', reason: `${code} ${description}`.trim() }
  }
}

function unfilled(headers: NatsHeaders | undefined): number | undefined {
  const text = headers?.get('Nats-Pending-Messages') ?? ''
  return /^\d+$/.test(text) ? Number(text) : undefined
}
