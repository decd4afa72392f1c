/** A message as it goes to the broker. */
export interface BrokerMessage {
  readonly messageId: string
  readonly gid: string
  readonly branch: number
  readonly subject: string
  readonly key: string | undefined
  readonly content: string | Uint8Array
  /** User headers as the JSON text they are stored as. */
  readonly headers: string | undefined
}
