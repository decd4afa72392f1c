/** What is sent, byte for byte: JSON text or bytes. */
export type Content =
  | { readonly text: string; readonly bytes?: never }
  | { readonly bytes: Buffer; readonly text?: never }

/** A message as it is written. */
export type CollectedMessage = Published | Delivery

interface Common {
  /** Its number within the transaction, from 1. */
  readonly branch: number
  readonly target: string
  /** The ordering key; absent on delayed messages, which have none. */
  readonly key: string | undefined
  /** Headers as JSON text. */
  readonly headers: string | undefined
  readonly content: Content
}

/** A row of the log. */
export interface Published extends Common {
  readonly kind: 'publish'
}

/** A row with a fate of its own: a call, or anything delayed. */
export interface Delivery extends Common {
  readonly kind: 'delivery'
  readonly destination: string
  readonly due: { readonly at: Date; readonly delayMs?: never } | { readonly delayMs: number; readonly at?: never }
}
