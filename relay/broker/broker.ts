import {
  connect,
  headers,
  type MsgHdrs,
  type NatsConnection,
  type NodeConnectionOptions,
} from '@nats-io/transport-node'
import { ENVELOPE, NATS_MESSAGE_ID } from 'postcommit/protocol'
import type { PublishVerdict } from '../engine/publish-ack.ts'
import { type AckMultiplexer, createAckMultiplexer } from './ack-multiplexer.ts'

/** A message as it goes to the broker. */
export interface BrokerMessage {
  readonly messageId: string
  readonly gid: string
  readonly branch: number
  readonly subject: string
  readonly key: string | undefined
  readonly content: string | Uint8Array
  /** User headers as the JSON text they are stored as. */
  readonly headers: string | undefined
}

/** Publishes to JetStream and reports what became of it; survives restarts of the server without losing its callers. */
export interface Broker {
  /** Whether the connection is up. */
  readonly connected: boolean
  /** Sends a message; `settle` is called exactly once. Nothing is buffered while the connection is down. */
  publish(message: BrokerMessage, settle: (verdict: PublishVerdict) => void): void
  /** Whether any stream takes `subject`; undefined if JetStream does not answer. */
  hasStream(subject: string): Promise<boolean | undefined>
  /** Called whenever the connection comes up; returns how to stop listening. */
  onConnected(listener: () => void): () => void
  /** The connection, for administration. Waits for the first connect. */
  connection(): Promise<NatsConnection>
  close(): Promise<void>
}

/** How to reach NATS. */
export interface BrokerOptions {
  readonly connection: NodeConnectionOptions
  /** How long an acknowledgement may take, milliseconds. */
  readonly ackTimeoutMs: number
  readonly onStatus?: (event: string, detail: string) => void
}

const RECONNECT_MS = 250
const API_TIMEOUT_MS = 2000

/** Connects in the background, and again whenever the connection is lost. */
export function openBroker({ connection, ackTimeoutMs, onStatus = () => undefined }: BrokerOptions): Broker {
  let acks: AckMultiplexer | undefined
  let connected = false
  const listeners = new Set<() => void>()
  const questions = new Map<string, Promise<boolean | undefined>>()

  const up = (): void => {
    connected = true
    for (const listener of listeners) listener()
  }

  const opening = connect({
    name: 'postcommit relay',
    maxReconnectAttempts: -1,
    waitOnFirstConnect: true,
    reconnectTimeWait: RECONNECT_MS,
    pingInterval: 10_000,
    maxPingOut: 3,
    // Without it the client builds two stack traces for every publish: 43,000 instead of 24,000 a second.
    noAsyncTraces: true,
    ...connection,
  })
  opening.then(
    (nc) => {
      acks = createAckMultiplexer(nc, connection.inboxPrefix, ackTimeoutMs)
      void watch(nc, acks)
      up()
    },
    (error: Error) => onStatus('failed', error.message),
  )

  async function watch(nc: NatsConnection, mux: AckMultiplexer): Promise<void> {
    for await (const status of nc.status()) {
      switch (status.type) {
        case 'disconnect':
          connected = false
          mux.failAll('the connection to NATS was lost')
          onStatus('disconnected', status.server)
          break
        case 'reconnect':
          onStatus('reconnected', status.server)
          up()
          break
        case 'error':
          onStatus('error', status.error.message)
          break
        default:
      }
    }
    connected = false
    mux.failAll('the connection to NATS is closed')
  }

  async function askForStream(subject: string): Promise<boolean | undefined> {
    const nc = connected ? await opening : undefined
    const answer = await nc
      ?.request('$JS.API.STREAM.NAMES', JSON.stringify({ subject }), { timeout: API_TIMEOUT_MS })
      .then((message) => message.json<{ streams?: string[] | null; error?: unknown }>())
      .catch(() => undefined)
    if (answer === undefined || answer.error !== undefined) return undefined
    return (answer.streams ?? []).length > 0
  }

  return {
    get connected() {
      return connected
    },
    publish(message, settle) {
      if (acks === undefined || !connected) settle({ kind: 'outage', error: 'not connected to NATS' })
      else acks.publish(message.subject, message.content, brokerHeaders(message), settle)
    },
    async hasStream(subject) {
      // A whole window may be refused at once; one question a subject is enough for all of it.
      const asked = questions.get(subject) ?? askForStream(subject)
      questions.set(subject, asked)
      return await asked.finally(() => questions.delete(subject))
    },
    onConnected(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    connection: () => opening,
    async close() {
      // If the first connect never succeeded there is nothing to close; the promise would wait for ever.
      if (acks === undefined) return
      acks.close()
      await (await opening).close()
    },
  }
}

function brokerHeaders(message: BrokerMessage): MsgHdrs {
  const result = headers()
  if (message.headers !== undefined) {
    // Stored by the SDK, checked there, or written by other means: the broker client refuses line breaks itself.
    for (const [name, value] of Object.entries<string>(JSON.parse(message.headers))) result.set(name, value)
  }
  result.set(NATS_MESSAGE_ID, message.messageId)
  result.set(ENVELOPE.gid, message.gid)
  result.set(ENVELOPE.branch, String(message.branch))
  if (message.key !== undefined) result.set(ENVELOPE.key, encodeURIComponent(message.key))
  result.set(ENVELOPE.content, typeof message.content === 'string' ? 'application/json' : 'application/octet-stream')
  return result
}
