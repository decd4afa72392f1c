import { type Inbox, saysDuplicate } from '../inbox/inbox.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { LIMITS } from '../protocol/limits.ts'
import type { Answer } from './answer.ts'
import { type FetchListener, fetchListener } from './fetch-listener.ts'
import { type NodeListener, nodeListener } from './node-listener.ts'
import { type CallDelivery, readCallEnvelope } from './read-call.ts'
import type { PayloadOptions } from './read-payload.ts'
import { type Call, type CommonReception, receiveCall } from './receive-call.ts'
import { parseSecrets } from './signing-secrets.ts'

/** What {@link handler} takes with or without an inbox. */
export interface CommonHandlerOptions<Payload> extends PayloadOptions<Payload> {
  /**
   * The signing secrets of the destination (`whsec_…`), several while one is being replaced. `'unsigned'` takes
   * calls from anybody who can reach the handler.
   */
  readonly secrets: readonly string[] | 'unsigned'
  /** How far the time of a signature may be from now, seconds, default 300. */
  readonly toleranceSeconds?: number
  /** Largest body in bytes, default 921600, which is the largest payload there is. */
  readonly bodyBytesMax?: number
  /**
   * Told of every error that is answered 500 or 409, because the answer itself says nothing about it. The default
   * emits a process warning.
   */
  readonly onError?: (error: unknown, about: { readonly id: string | undefined }) => void
}

/** What {@link handler} takes. */
export interface HandlerOptions<Payload> extends CommonHandlerOptions<Payload> {
  readonly inbox?: undefined
  /** Handles one delivery. When it returns, the call is confirmed. When it throws, the relay calls again later. */
  readonly handle: (delivery: CallDelivery<Payload>) => unknown
}

/** What {@link handler} takes to run through an inbox. */
export interface InboxHandlerOptions<Payload, Tx> extends CommonHandlerOptions<Payload> {
  /** Makes `handle` run once per message, in the transaction that it is given. */
  readonly inbox: Inbox<Tx>
  /**
   * Handles one delivery through `tx`. When it returns, `tx` is committed and the call is confirmed. When it throws,
   * `tx` is rolled back and the relay calls again later.
   */
  readonly handle: (delivery: CallDelivery<Payload>, tx: Tx) => unknown
}

/** A handler for the relay's calls, in the two shapes that servers take. */
export interface DeliveryHandler {
  /** For `node:http`, express, fastify. */
  readonly node: NodeListener
  /** For hono and everything else that speaks `Request` and `Response`. */
  readonly fetch: FetchListener
}

/**
 * Receives the relay's calls of one path: verifies the signature over the raw body, reads the delivery and runs it.
 *
 * Answers 204 when `handle` has taken effect, with `postcommit-outcome: duplicate` if that was before; 410 on
 * {@link DeliveryRefused}, 503 on {@link DeliveryPostponed}, 500 without details on anything else it throws; 401 for
 * a signature that is missing, wrong or too old, 400, 405, 413 or 415 for a request that no relay sends, 409 if the
 * inbox knows the id with other content, 425 on `POSTCOMMIT_BRANCH_IN_PROGRESS`. Refusals are
 * `application/problem+json`. Branches of sagas are for {@link branchHandler}.
 *
 * Mount it before any body parser: the signature covers the bytes as they were sent.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`, `POSTCOMMIT_INVALID_SECRET`.
 * @example
 * ```ts
 * const deduct = handler({
 *   secrets: [stockSecret],
 *   schema: z.object({ sku: z.string() }),
 *   inbox: createInbox({ db, consumer: 'stock' }),
 *   handle: ({ payload }, tx) => tx.updateTable('stock').set({ … }).where('sku', '=', payload.sku).execute(),
 * })
 * app.post('/deduct', deduct.node) // express; with hono: app.post('/deduct', (c) => deduct.fetch(c.req.raw))
 * ```
 */
export function handler<Payload = unknown, Tx = unknown>(options: InboxHandlerOptions<Payload, Tx>): DeliveryHandler
export function handler<Payload = unknown>(options: HandlerOptions<Payload>): DeliveryHandler
export function handler<Payload, Tx>(
  options: InboxHandlerOptions<Payload, Tx> | HandlerOptions<Payload>,
): DeliveryHandler {
  const reception = {
    ...commonReception(options, 'handler'),
    envelope: readCallEnvelope,
    run: (delivery: CallDelivery<Payload>) => runDelivery(options, delivery),
    refused: 410 as const,
  }
  return listeners((call) => receiveCall(reception, call))
}

/** What every call is received with. */
export function commonReception<Payload>(
  options: CommonHandlerOptions<Payload>,
  caller: string,
): CommonReception<Payload> {
  const { onError = warn } = options
  const positive = (name: string, value: number): number => {
    if (Number.isSafeInteger(value) && value > 0) return value
    const reason = `${name} is ${value}, not a positive integer`
    throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: caller, reason })
  }
  return {
    keys: parseSecrets(options.secrets, caller),
    toleranceSeconds: positive('toleranceSeconds', options.toleranceSeconds ?? 300),
    bodyBytesMax: positive('bodyBytesMax', options.bodyBytesMax ?? LIMITS.payloadBytesHard),
    payload: options,
    onError: (error, id) => onError(error, { id }),
  }
}

/** The two shapes of one reception. */
export function listeners(receive: (call: Call) => Promise<Answer>): DeliveryHandler {
  return { node: nodeListener(receive), fetch: fetchListener(receive) }
}

async function runDelivery<Payload, Tx>(
  options: InboxHandlerOptions<Payload, Tx> | HandlerOptions<Payload>,
  delivery: CallDelivery<Payload>,
): Promise<boolean> {
  if (options.inbox === undefined) return saysDuplicate(await options.handle(delivery))
  const { inbox, handle } = options
  return (await inbox.once(delivery, (tx) => handle(delivery, tx))).duplicate
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error))
}
