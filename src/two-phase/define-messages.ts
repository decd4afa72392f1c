import { NATS_DESTINATION } from '../protocol/destination.ts'
import { ENVELOPE } from '../protocol/headers.ts'
import { withoutAbsent } from '../protocol/read-json.ts'
import type { Target } from '../protocol/target.ts'
import type {
  BackQueryDefinition,
  BranchDefinition,
  TransactionDefinition,
} from '../protocol/transaction-definition.ts'
import { BranchOp, TransactionMode } from '../protocol/transaction-state.ts'
import type { CollectedMessage } from '../store/collected-message.ts'

/** The messages of a commit as a global transaction: a branch each, none of which waits for another. */
export function defineMessages(
  messages: readonly CollectedMessage[],
  backQuery: BackQueryDefinition,
): TransactionDefinition {
  return {
    mode: TransactionMode.Msg,
    branches: messages.map(defineBranch),
    backQuery,
    options: { concurrent: true },
  }
}

function defineBranch(message: CollectedMessage): BranchDefinition {
  const { content, branch } = message
  const { headers, key = message.key } = readHeaders(message.headers)
  return withoutAbsent<BranchDefinition>({
    // The same number as in the outbox, so that a message has the same id by either way.
    branch: String(branch),
    ops: { [BranchOp.Action]: targetOf(message) },
    payload: content.text,
    payloadBase64: content.bytes?.toString('base64'),
    headers,
    key,
    delayMs: delayOf(message),
  })
}

function targetOf(message: CollectedMessage): Target {
  if (message.kind === 'publish' || message.destination === NATS_DESTINATION) return { subject: message.target }
  return { destination: message.destination, path: message.target }
}

function delayOf(message: CollectedMessage): number | undefined {
  if (message.kind === 'publish') return undefined
  const { at, delayMs } = message.due
  const ms = at === undefined ? delayMs : Math.max(0, at.getTime() - Date.now())
  return ms === undefined || ms === 0 ? undefined : Math.ceil(ms)
}

/** On the wire a delayed message has its key like any other; only in the outbox it hides among the headers. */
function readHeaders(text: string | undefined): { headers?: BranchDefinition['headers']; key?: string } {
  if (text === undefined) return {}
  const { [ENVELOPE.key]: key, ...headers } = JSON.parse(text) as Record<string, string>
  return withoutAbsent<{ headers?: BranchDefinition['headers']; key?: string }>({
    headers: Object.keys(headers).length === 0 ? undefined : headers,
    key: key === undefined ? undefined : decodeURIComponent(key),
  })
}
