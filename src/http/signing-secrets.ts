import { PostcommitError } from '../protocol/errors.ts'
import type { MessageHeaders } from '../protocol/headers.ts'
import { parseSigningSecret, SIGNATURE_HEADERS, type SigningKey, verifyCall } from '../protocol/webhook-signature.ts'

/** Who may call: undefined keys take calls from anybody who can reach the handler. */
export interface Verification {
  readonly keys: readonly SigningKey[] | undefined
  readonly toleranceSeconds: number
}

/** @throws `POSTCOMMIT_INVALID_OPTIONS`, `POSTCOMMIT_INVALID_SECRET`. */
export function parseSecrets(
  secrets: readonly string[] | 'unsigned',
  caller: string,
): readonly SigningKey[] | undefined {
  if (secrets === 'unsigned') return undefined
  if (!Array.isArray(secrets) || secrets.length === 0) {
    const reason = "secrets is neither a list nor 'unsigned'"
    throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: caller, reason })
  }
  return secrets.map(parseSigningSecret)
}

/**
 * Checks that the relay sent a request.
 * @throws what {@link verifyCall} throws.
 */
export function verifyRequest(
  { keys, toleranceSeconds }: Verification,
  headers: MessageHeaders,
  body: Uint8Array,
): void {
  if (keys === undefined) return
  const signed = {
    id: headers[SIGNATURE_HEADERS.id],
    timestamp: headers[SIGNATURE_HEADERS.timestamp],
    signature: headers[SIGNATURE_HEADERS.signature],
    body,
  }
  // The receiver's own clock: how fresh a request is cannot be asked of a database before knowing who asks.
  verifyCall(keys, signed, Math.floor(Date.now() / 1000), toleranceSeconds)
}
