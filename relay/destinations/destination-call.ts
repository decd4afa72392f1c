import { branchCallId, ENVELOPE, type MessageHeaders, messageId, OP_HEADER, TransactionMode } from 'postcommit/protocol'

/** The name of a branch of a message, whose number is in the header of every message. */
export const BRANCH_NAME_HEADER = 'postcommit-branch-name'

/** In whose words a branch is called: this project's headers, DTM's query parameters, or the parameters of a method. */
export type CallDialect = 'v1' | 'dtm' | 'dtm-json-rpc'

/** One call of a destination: a message, a branch of a global transaction, or a question about one. */
export interface DestinationCall {
  /** The source database it came from. */
  readonly source: string
  readonly gid: string
  readonly mode: string
  /** The name of the branch; a message that has none is named by its number. */
  readonly branch: string
  /** The place of the branch or message in its transaction, from 1: what names it to a broker. */
  readonly number: number
  readonly op: string
  readonly dialect: CallDialect
  /** Path, subject, name of a handler, or an absolute URL. */
  readonly target: string
  readonly key: string | undefined
  /** The exact content. Undefined: there is none. */
  readonly content: string | Uint8Array | undefined
  readonly headers: MessageHeaders
  /** 1 for the first attempt. */
  readonly attempt: number
  /** How long it may take; undefined: as the destination is configured. */
  readonly timeoutMs: number | undefined
  /** Whether what is said in the body counts, or the status alone: then an answer is one however its body ends. */
  readonly reads: 'status' | 'body'
}

/** More than a verdict or a result needs; whatever is longer is a page for people. */
export const ANSWER_BYTES_MAX = 64 * 1024

/** What is under the signature of a call as its id; of a message the same id as on every other way. */
export function callId({ gid, mode, number, branch, op }: DestinationCall): string {
  return mode === TransactionMode.Msg ? messageId(gid, number) : branchCallId({ gid, branch, op })
}

/** Adds the headers that name a branch: a message by its number, which its id holds, and a name beside it if it has one. */
export function addBranchHeaders(
  headers: Record<string, string>,
  { mode, number, branch, op }: Pick<DestinationCall, 'mode' | 'number' | 'branch' | 'op'>,
): void {
  const isMessage = mode === TransactionMode.Msg
  headers[ENVELOPE.branch] = isMessage ? String(number) : branch
  if (isMessage && branch !== String(number)) headers[BRANCH_NAME_HEADER] = branch
  headers[OP_HEADER] = op
}
