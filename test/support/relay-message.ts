import { headers, type NatsConnection } from '@nats-io/transport-node'
import { ENVELOPE, messageId, NATS_MESSAGE_ID } from 'postcommit/protocol'

/** A message as a relay publishes it. */
export interface RelayMessage {
  readonly gid: string
  /** Default 1. */
  readonly branch?: number
  readonly subject: string
  readonly key?: string
  /** Sent as JSON, or as bytes if it is a Uint8Array. */
  readonly payload: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Default true; false lets the stream take the same message twice. */
  readonly deduplicated?: boolean
}

/** Publishes to JetStream by the header rules of the relay, and resolves when the stream has stored it. */
export async function publishAsRelay(connection: NatsConnection, message: RelayMessage): Promise<{ sequence: number }> {
  const { gid, branch = 1, subject, key, payload, deduplicated = true } = message
  const isBytes = payload instanceof Uint8Array
  const values = headers()
  if (deduplicated) values.set(NATS_MESSAGE_ID, messageId(gid, branch))
  values.set(ENVELOPE.gid, gid)
  values.set(ENVELOPE.branch, String(branch))
  values.set(ENVELOPE.content, isBytes ? 'application/octet-stream' : 'application/json')
  if (key !== undefined) values.set(ENVELOPE.key, encodeURIComponent(key))
  for (const [name, value] of Object.entries(message.headers ?? {})) values.set(name, value)
  const answer = await connection.request(subject, isBytes ? payload : JSON.stringify(payload), {
    headers: values,
    timeout: 5000,
  })
  const { seq, error } = answer.json<{ seq?: number; error?: { description: string } }>()
  if (seq === undefined) throw new Error(`not stored: ${error?.description}`)
  return { sequence: seq }
}
