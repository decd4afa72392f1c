import {
  type BranchDefinition,
  ENVELOPE,
  NATS_DESTINATION,
  type TransactionDefinition,
  TransactionMode,
} from 'postcommit/protocol'

/** The messages of a transaction as the outbox will hold them. */
export interface OutboxContent {
  /** JSON of {@link OutboxMessage}s. */
  readonly json: string
  /** The ordering keys, each once. */
  readonly keys: readonly string[]
}

/** A message on its way to the outbox; absent: null there. */
export interface OutboxMessage {
  readonly branch: number
  /** Absent: it is published. */
  readonly destination?: string | undefined
  readonly target: string
  readonly key?: string | undefined
  /** Headers as JSON text. */
  readonly headers?: string | undefined
  readonly payload?: string | undefined
  /** Base64. */
  readonly body?: string | undefined
  readonly delayMs?: number | undefined
}

const NUMBER = /^[1-9]\d{0,5}$/

/**
 * The messages of a definition that says no more than `outbox.commit()` can: numbered messages to configured
 * destinations and subjects, none of which waits for another. Undefined: it has a plan of its own (branches that wait for
 * each other, addresses, topics, its own limits), and its branches are carried out by the coordinator.
 */
export function outboxContentOf(definition: TransactionDefinition): OutboxContent | undefined {
  const { mode, branches, options = {} } = definition
  if (mode !== TransactionMode.Msg || branches.length === 0) return undefined
  const { concurrent = false, ...limits } = options
  if (!concurrent && branches.length > 1) return undefined
  if (Object.values(limits).some((limit) => limit !== undefined)) return undefined
  const messages: OutboxMessage[] = []
  for (const branch of branches) {
    const message = messageOf(branch)
    if (message === undefined) return undefined
    messages.push(message)
  }
  const keys = new Set(branches.flatMap(({ key }) => (key === undefined ? [] : [key])))
  return { json: JSON.stringify(messages), keys: [...keys] }
}

function messageOf(definition: BranchDefinition): OutboxMessage | undefined {
  const { branch, ops, after, retryOnly, leavesNothing, payload, payloadBase64, headers, key, delayMs } = definition
  const { action, ...undoing } = ops
  if (action === undefined || Object.keys(undoing).length > 0 || !NUMBER.test(branch)) return undefined
  if (after !== undefined || retryOnly !== undefined || leavesNothing !== undefined) return undefined
  if (payloadBase64 === undefined && !isJson(payload)) return undefined
  const common = { branch: Number(branch), payload, body: payloadBase64 }
  const isDelayed = delayMs !== undefined && delayMs > 0
  // A delayed message has no place in the order of its key; its receiver is told the key all the same.
  const told = isDelayed && key !== undefined ? { ...headers, [ENVELOPE.key]: encodeURIComponent(key) } : headers
  const routing = { headers: textOf(told), key: isDelayed ? undefined : key, delayMs }
  if ('destination' in action) return { ...common, ...routing, destination: action.destination, target: action.path }
  if (!('subject' in action)) return undefined
  if (!isDelayed) return { ...common, target: action.subject, headers: routing.headers, key }
  return { ...common, ...routing, destination: NATS_DESTINATION, target: action.subject }
}

/** A message of the outbox is JSON or bytes; another text is sent by the coordinator as it is. */
function isJson(payload: string | undefined): boolean {
  if (payload === undefined) return false
  try {
    JSON.parse(payload)
    return true
  } catch {
    return false
  }
}

function textOf(headers: Readonly<Record<string, string>> | undefined): string | undefined {
  return headers === undefined || Object.keys(headers).length === 0 ? undefined : JSON.stringify(headers)
}
