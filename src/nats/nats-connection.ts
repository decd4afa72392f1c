/**
 * What is used of a NATS connection: the part that `@nats-io/transport-node` and `nats` 2.x have in common. Neither
 * is imported, so a service keeps the client, and the version of it, that it has.
 */
export interface NatsConnectionLike {
  publish(subject: string, payload?: Uint8Array | string, options?: { reply?: string; headers?: unknown }): void
  subscribe(
    subject: string,
    options: { queue?: string; callback: (error: Error | null, message: NatsMessage) => void },
  ): NatsSubscriptionLike
  flush(): Promise<void>
  /** Resolves when the connection is closed for good; losing and regaining the server does not count. */
  closed(): Promise<unknown>
  isClosed(): boolean
  status(): AsyncIterable<{ readonly type: string }>
  readonly info?: { readonly version: string }
}

/** What is used of a subscription of either client. */
export interface NatsSubscriptionLike {
  /** Tells the server to send no more, then takes what was on its way. */
  drain(): Promise<void>
  unsubscribe(): void
}

/** What is used of a message of either client. */
export interface NatsMessage {
  readonly subject: string
  readonly reply?: string
  readonly data: Uint8Array
  readonly headers?: NatsHeaders
}

/**
 * A message that can be kept. What a client hands over is a view of the chunk that came from the socket, and one small
 * message that waits for hours would keep all of it.
 */
export function holdMessage({ subject, reply, data, headers }: NatsMessage): NatsMessage {
  return {
    subject,
    data: data.slice(),
    ...(reply !== undefined && { reply }),
    ...(headers !== undefined && { headers }),
  }
}

/** What is used of the headers of a message. */
export interface NatsHeaders {
  readonly code: number
  readonly description: string
  get(name: string): string
  has(name: string): boolean
  keys(): string[]
}

/**
 * Headers to publish with. Both clients write to the wire whatever `encode()` of the headers gives; making their own
 * header object would take an import of the client.
 *
 * @param entries - names and values; a value loses everything but visible ASCII, which is all a header can carry
 */
export function encodeHeaders(entries: Iterable<readonly [name: string, value: string]>): { encode(): Uint8Array } {
  const lines = Array.from(entries, ([name, value]) => `${name}: ${value.replace(/[^\x20-\x7e]+/g, ' ')}\r\n`)
  const bytes = new TextEncoder().encode(`NATS/1.0\r\n${lines.join('')}\r\n`)
  return { encode: () => bytes }
}
