import { createHash, randomBytes } from 'node:crypto'

/** What a key may be used for. None of them includes another. */
export const SCOPES = ['prepare', 'submit', 'abort', 'read', 'admin'] as const

/** A scope of {@link SCOPES}. */
export type Scope = (typeof SCOPES)[number]

/** A key as its holder sends it: the id that is public, and the digest that the secret half has to have. */
export interface PresentedKey {
  readonly id: string
  readonly digest: Buffer
}

/** A new key. The text is shown once and stored nowhere. */
export interface DrawnKey extends PresentedKey {
  readonly text: string
}

const ID_BYTES = 8
const SECRET_BYTES = 32
const KEY = /^pc_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/

/** Draws a key. 256 random bits need no slow hash: nobody guesses them from a SHA-256. */
export function drawApiKey(): DrawnKey {
  const id = randomBytes(ID_BYTES).toString('hex')
  const secret = randomBytes(SECRET_BYTES).toString('base64url')
  return { id, digest: digestOf(secret), text: `pc_${id}_${secret}` }
}

/** Reads a key; undefined if it has not the form of one, so that nothing is looked up for it. */
export function parseApiKey(text: string): PresentedKey | undefined {
  const [, id, secret] = KEY.exec(text) ?? []
  return id === undefined || secret === undefined ? undefined : { id, digest: digestOf(secret) }
}

function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}
