import { ENVELOPE, type MessageHeaders } from '../protocol/headers.ts'
import { SIGNATURE_HEADERS } from '../protocol/webhook-signature.ts'
import { type Answer, answerTo, confirmed, problem } from './answer.ts'
import { type CallDelivery, readCallEnvelope } from './read-call.ts'
import { checkPayload, type PayloadOptions, readContent } from './read-payload.ts'
import { type Verification, verifyRequest } from './signing-secrets.ts'

/** An HTTP request, whichever server took it. */
export interface Call {
  readonly method: string
  /** Names in lower case. */
  readonly headers: MessageHeaders
  /** The raw body, or undefined if it has more than `bytesMax` bytes. */
  readBody(bytesMax: number): Promise<Uint8Array | undefined>
}

/** How calls are received, from the options of `handler()`. */
export interface Reception<Payload> extends Verification {
  readonly bodyBytesMax: number
  readonly payload: PayloadOptions<Payload>
  /** Runs the user's function; resolves to whether the message had taken effect before. */
  readonly run: (delivery: CallDelivery<Payload>) => Promise<boolean>
  readonly onError: (error: unknown, id: string | undefined) => void
}

/** Receives one call: checks that the relay sent it, runs the handler, says what became of it. Never rejects. */
export async function receiveCall<Payload>(reception: Reception<Payload>, call: Call): Promise<Answer> {
  if (call.method !== 'POST') return problem(405, 'the relay sends POST', { allow: 'POST' })
  try {
    const body = await call.readBody(reception.bodyBytesMax)
    if (body === undefined) return tooLarge(reception.bodyBytesMax)
    verifyRequest(reception, call.headers, body)
    const envelope = readCallEnvelope(call.headers)
    const read = readContent(call.headers[ENVELOPE.content], body)
    if ('problem' in read) return problem(read.problem === 'type' ? 415 : 400, read.reason)
    const payload = await checkPayload(reception.payload, envelope.id, read.value)
    const { content } = read
    return confirmed(await reception.run({ ...envelope, payload, content, headers: call.headers }))
  } catch (error) {
    const { answer, unexpected } = answerTo(error)
    if (unexpected) reception.onError(error, call.headers[SIGNATURE_HEADERS.id])
    return answer
  }
}

// What is left of the body is not read, so the connection cannot be used again.
function tooLarge(bytesMax: number): Answer {
  return problem(413, `the body has more than ${bytesMax} bytes`, { connection: 'close' })
}
