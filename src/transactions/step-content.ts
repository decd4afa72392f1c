import { encodePayload } from '../commit/payload.ts'
import { LIMITS } from '../protocol/limits.ts'
import { withoutAbsent } from '../protocol/read-json.ts'
import type { BranchDefinition } from '../protocol/transaction-definition.ts'

/**
 * What a step is sent, as its definition holds it.
 * @throws `POSTCOMMIT_INVALID_PAYLOAD`, `POSTCOMMIT_PAYLOAD_TOO_LARGE`.
 */
export function stepContent(data: unknown, step: string): Pick<BranchDefinition, 'payload' | 'payloadBase64'> {
  if (data === undefined) return {}
  const { text, bytes } = encodePayload(data, step, LIMITS.payloadBytesHard)
  return withoutAbsent<Pick<BranchDefinition, 'payload' | 'payloadBase64'>>({
    payload: text,
    payloadBase64: bytes?.toString('base64'),
  })
}
