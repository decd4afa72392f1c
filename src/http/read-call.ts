import { parseBranchCallId } from '../protocol/branch-call.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { type Gid, parseMessageId } from '../protocol/gid.ts'
import { ENVELOPE, type MessageHeaders } from '../protocol/headers.ts'
import { SIGNATURE_HEADERS } from '../protocol/webhook-signature.ts'
import type { Received } from './receive-call.ts'

/** A call of the relay as the handler sees it. */
export interface CallDelivery<Payload = unknown> extends Received<Payload> {
  /** Unique for ever and the same at every attempt. */
  readonly id: string
  readonly gid: Gid
  /** The number of the message within its transaction, from 1. */
  readonly branch: number
  /** The ordering key, where there is one. */
  readonly key: string | undefined
  /** 1 for the first attempt. */
  readonly attempt: number
}

/** Who a call says it is. */
type CallEnvelope = Pick<CallDelivery, 'id' | 'gid' | 'branch' | 'key' | 'attempt'>

/**
 * Reads the envelope of a call. The id comes from `webhook-id`, which is signed, and never from the plain headers,
 * which are only compared: somebody who could change those would otherwise choose what the inbox takes for seen.
 * @throws `POSTCOMMIT_INVALID_DELIVERY`.
 */
export function readCallEnvelope(headers: MessageHeaders): CallEnvelope {
  const id = headers[SIGNATURE_HEADERS.id] ?? invalid(`${SIGNATURE_HEADERS.id} is missing`)
  const { gid, branch } = parseMessageId(id) ?? invalid(notMessage(id))
  if ((headers[ENVELOPE.gid] ?? gid) !== gid) invalid(`${ENVELOPE.gid} names another message than webhook-id`)
  if ((headers[ENVELOPE.branch] ?? String(branch)) !== String(branch)) {
    invalid(`${ENVELOPE.branch} names another message than webhook-id`)
  }
  return { id, gid, branch, ...readOccasion(headers) }
}

/** The key of a call, and which attempt it is. */
export function readOccasion(headers: MessageHeaders): Pick<CallDelivery, 'key' | 'attempt'> {
  return { key: readKey(headers[ENVELOPE.key]), attempt: readAttempt(headers['postcommit-attempt']) }
}

function notMessage(id: string): string {
  const what = parseBranchCallId(id) === undefined ? '' : '; it names a branch, which branchHandler() takes'
  return `${SIGNATURE_HEADERS.id} is not a gid and a number${what}`
}

/**
 * Decodes the ordering key.
 * @throws `POSTCOMMIT_INVALID_DELIVERY`.
 */
export function readKey(encoded: string | undefined): string | undefined {
  if (encoded === undefined) return undefined
  try {
    return decodeURIComponent(encoded)
  } catch {
    return invalid(`${ENVELOPE.key} is not percent-encoded`)
  }
}

function readAttempt(text: string | undefined): number {
  return text !== undefined && /^[1-9]\d{0,8}$/.test(text) ? Number(text) : 1
}

function invalid(reason: string): never {
  throw new PostcommitError('POSTCOMMIT_INVALID_DELIVERY', { reason })
}
