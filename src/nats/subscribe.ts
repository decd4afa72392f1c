import { attemptMessage } from './attempt.ts'
import { DurableSubscription } from './durable-subscription.ts'
import type { SubscribedDelivery } from './read-delivery.ts'
import {
  compileOptions,
  type InboxSubscribeOptions,
  type SubscribeOptions,
  type SubscriptionTrouble,
} from './subscribe-options.ts'
import type { Subscription } from './subscription.ts'

/**
 * Handles the messages of a stream, each until it is acknowledged: a durable JetStream pull consumer with explicit
 * acknowledgement after `handle` has returned, and, with an inbox, after its transaction is committed.
 *
 * - **At least once**, and with `inbox` effectively once: a message is given up only for a stored dead letter.
 * - **In order per key**: within one subscription, messages of one key are handled one after the other as they stand
 *   in the stream, retries included; a failing one holds back its own key only. Two processes on one durable share the
 *   messages without regard to keys; give each its own durable and subjects, or set `ackPendingMax: 1`.
 * - **Survives** restarts of the server, a lost connection, and a stream or consumer that is not there (yet): it keeps
 *   trying and says so through `onError`. Only the connection must be told to reconnect for ever
 *   (`maxReconnectAttempts: -1`).
 *
 * Resolves when the consumer is found or made, or else when the first try to do so has failed.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`, `POSTCOMMIT_CONSUMER_MISMATCH`, `POSTCOMMIT_UNSUPPORTED_SERVER`.
 * @example
 * ```ts
 * const inbox = createInbox({ db, consumer: 'stock' })
 * const subscription = await subscribe({
 *   connection, // of @nats-io/transport-node or nats 2.x
 *   stream: 'ORDERS',
 *   durable: 'stock',
 *   schema: z.object({ orderId: z.string() }),
 *   inbox,
 *   handle: ({ payload }, tx) => reserve(tx, payload.orderId),
 *   deadLetter: { subject: 'dead.stock' },
 * })
 * // …
 * await subscription.stop()
 * ```
 */
export async function subscribe<Payload = unknown, Tx = unknown>(
  options: InboxSubscribeOptions<Payload, Tx>,
): Promise<Subscription>
/**
 * The same without an inbox: `handle` may run more than once for a message, and the message is acknowledged when it
 * returns. See the first form for what holds of both.
 */
export async function subscribe<Payload = unknown>(options: SubscribeOptions<Payload>): Promise<Subscription>
export async function subscribe<Payload, Tx>(
  options: InboxSubscribeOptions<Payload, Tx> | SubscribeOptions<Payload>,
): Promise<Subscription> {
  const compiled = compileOptions(options)
  const handle = handleOf(options)
  const subscription = new DurableSubscription({
    connection: options.connection,
    options: compiled,
    attempt: (message, attempt) => attemptMessage(options, handle, message, attempt),
    onError: options.onError ?? warnOfTrouble,
  })
  await subscription.start()
  return subscription
}

function handleOf<Payload, Tx>(
  options: InboxSubscribeOptions<Payload, Tx> | SubscribeOptions<Payload>,
): (delivery: SubscribedDelivery<Payload>) => unknown {
  if (options.inbox === undefined) return options.handle
  const { inbox, handle } = options
  return (delivery) => inbox.once(delivery, (tx) => handle(delivery, tx))
}

/** Tells of what goes wrong where nobody else is told. */
export function warnOfTrouble(error: unknown, { what, id, retryInMs }: SubscriptionTrouble): void {
  const next = retryInMs === undefined ? '' : `, again in ${retryInMs} ms`
  const text = error instanceof Error ? error.message : String(error)
  process.emitWarning(`subscription (${what}${id === undefined ? '' : ` ${id}`}${next}): ${text}`, 'PostcommitWarning')
}
