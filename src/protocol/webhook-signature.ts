import { createHmac, timingSafeEqual } from 'node:crypto'
import { PostcommitError } from './errors.ts'

/** The three headers of a signed call, as the Standard Webhooks specification 1.0 names them. */
export const SIGNATURE_HEADERS = {
  id: 'webhook-id',
  timestamp: 'webhook-timestamp',
  signature: 'webhook-signature',
} as const

const PREFIX = 'whsec_'
const KEY_BYTES_MIN = 24
const KEY_BYTES_MAX = 64

/** A parsed signing secret. */
export interface SigningKey {
  readonly bytes: Buffer
}

/**
 * Parses `whsec_` + base64 of 24 to 64 bytes.
 * @throws `POSTCOMMIT_INVALID_SECRET`; the text never holds the secret.
 */
export function parseSigningSecret(secret: string): SigningKey {
  if (!secret.startsWith(PREFIX)) throw invalidSecret('it does not start with whsec_')
  const encoded = secret.slice(PREFIX.length)
  const bytes = Buffer.from(encoded, 'base64')
  if (bytes.toString('base64').replace(/=+$/, '') !== encoded.replace(/=+$/, '')) {
    throw invalidSecret('it is not base64 after the prefix')
  }
  if (bytes.length < KEY_BYTES_MIN || bytes.length > KEY_BYTES_MAX) {
    throw invalidSecret(`it holds ${bytes.length} bytes`)
  }
  return { bytes }
}

/**
 * The `webhook-signature` of one call: HMAC-SHA256 of `id.timestamp.body`. Several keys give several signatures,
 * which is how a secret is rotated without refusing a call.
 *
 * @param timestampSeconds - unix seconds of this attempt
 * @param body - the exact bytes that are sent
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
export function signCall(
  keys: readonly SigningKey[],
  id: string,
  timestampSeconds: number,
  body: string | Uint8Array,
): string {
  return keys.map((key) => `v1,${digest(key, id, timestampSeconds, body).toString('base64')}`).join(' ')
}

/** A call as it came in. */
export interface SignedCall {
  readonly id: string | undefined
  readonly timestamp: string | undefined
  readonly signature: string | undefined
  readonly body: string | Uint8Array
}

/**
 * Checks the signature of a call in constant time.
 * @param nowSeconds - unix seconds of the receiver
 * @throws `POSTCOMMIT_SIGNATURE_MISSING`, `POSTCOMMIT_SIGNATURE_INVALID`, `POSTCOMMIT_TIMESTAMP_OUT_OF_RANGE`.
 */
export function verifyCall(
  keys: readonly SigningKey[],
  call: SignedCall,
  nowSeconds: number,
  toleranceSeconds = 300,
): void {
  const id = present(call.id, SIGNATURE_HEADERS.id)
  const timestamp = present(call.timestamp, SIGNATURE_HEADERS.timestamp)
  const signature = present(call.signature, SIGNATURE_HEADERS.signature)
  if (!/^\d{1,12}$/.test(timestamp)) {
    throw new PostcommitError('POSTCOMMIT_SIGNATURE_INVALID', { reason: 'the timestamp is not unix seconds' })
  }
  const distance = Math.abs(nowSeconds - Number(timestamp))
  if (distance > toleranceSeconds) {
    throw new PostcommitError('POSTCOMMIT_TIMESTAMP_OUT_OF_RANGE', {
      seconds: Math.round(distance),
      tolerance: toleranceSeconds,
    })
  }
  const given = signature
    .split(' ')
    .filter((part) => part.startsWith('v1,'))
    .map((part) => Buffer.from(part.slice(3), 'base64'))
  const expected = keys.map((key) => digest(key, id, Number(timestamp), call.body))
  const fits = expected.some((e) => given.some((g) => g.length === e.length && timingSafeEqual(g, e)))
  if (!fits) throw new PostcommitError('POSTCOMMIT_SIGNATURE_INVALID', { reason: 'no v1 signature matches' })
}

function digest(key: SigningKey, id: string, timestampSeconds: number, body: string | Uint8Array): Buffer {
  return createHmac('sha256', key.bytes).update(`${id}.${timestampSeconds}.`).update(body).digest()
}

function present(value: string | undefined, header: string): string {
  if (value === undefined || value === '') throw new PostcommitError('POSTCOMMIT_SIGNATURE_MISSING', { header })
  return value
}

function invalidSecret(reason: string): PostcommitError<'POSTCOMMIT_INVALID_SECRET'> {
  return new PostcommitError('POSTCOMMIT_INVALID_SECRET', { reason })
}
