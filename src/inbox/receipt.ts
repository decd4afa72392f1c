/** That a consumer takes effect of a message, and what the message stands for. */
export interface Receipt {
  readonly gid: string
  readonly branch: number
  readonly consumer: string
  readonly digest: string
}
