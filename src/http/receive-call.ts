import { ENVELOPE, type MessageHeaders } from '../protocol/headers.ts'
import { SIGNATURE_HEADERS } from '../protocol/webhook-signature.ts'
import { type Answer, answerTo, confirmed, problem } from './answer.ts'
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

/** What every call is received with, from the options of `handler()` and `branchHandler()`. */
export interface CommonReception<Payload> extends Verification {
  readonly bodyBytesMax: number
  readonly payload: PayloadOptions<Payload>
  readonly onError: (error: unknown, id: string | undefined) => void
}

/** How calls of one kind are received. */
export interface Reception<Payload, Envelope extends { readonly id: string }> extends CommonReception<Payload> {
  /** Who a call says it is. */
  readonly envelope: (headers: MessageHeaders) => Envelope
  /** Runs the user's function; resolves to whether the call had taken effect before. */
  readonly run: (delivery: Envelope & Received<Payload>) => Promise<boolean>
  /** The status that says that trying again cannot help. */
  readonly refused: 409 | 410
}

/** What came with a call. */
export interface Received<Payload> {
  /** The content as a value: what the schema gave back, the parsed JSON, or the bytes. */
  readonly payload: Payload
  /** The exact content that was signed. */
  readonly content: string | Uint8Array
  /** All headers of the request, names in lower case. The signature does not cover them. */
  readonly headers: MessageHeaders
}

/** Receives one call: checks that the relay sent it, runs the handler, says what became of it. Never rejects. */
export async function receiveCall<Payload, Envelope extends { readonly id: string }>(
  reception: Reception<Payload, Envelope>,
  call: Call,
): Promise<Answer> {
  if (call.method !== 'POST') return problem(405, 'the relay sends POST', { allow: 'POST' })
  try {
    const body = await call.readBody(reception.bodyBytesMax)
    if (body === undefined) return tooLarge(reception.bodyBytesMax)
    verifyRequest(reception, call.headers, body)
    const envelope = reception.envelope(call.headers)
    const read = readContent(call.headers[ENVELOPE.content], body)
    if ('problem' in read) return problem(read.problem === 'type' ? 415 : 400, read.reason)
    const payload = await checkPayload(reception.payload, envelope.id, read.value)
    const { content } = read
    return confirmed(await reception.run({ ...envelope, payload, content, headers: call.headers }))
  } catch (error) {
    const { answer, unexpected } = answerTo(error, reception.refused)
    if (unexpected) reception.onError(error, call.headers[SIGNATURE_HEADERS.id])
    return answer
  }
}

// What is left of the body is not read, so the connection cannot be used again.
function tooLarge(bytesMax: number): Answer {
  return problem(413, `the body has more than ${bytesMax} bytes`, { connection: 'close' })
}
