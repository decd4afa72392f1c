/** Limits that both sides of the protocol hold; exceeding one is an error at the edge, never a silent cut. */
export const LIMITS = {
  gidCharacters: 64,
  subjectCharacters: 255,
  subjectTokens: 16,
  pathCharacters: 2048,
  keyCharacters: 255,
  headers: 32,
  headerNameCharacters: 64,
  headerValueBytes: 1024,
  payloadBytesDefault: 256 * 1024,
  /** Below NATS's default max_payload of 1 MiB, which counts headers too. */
  payloadBytesHard: 900 * 1024,
  messagesPerTransaction: 1000,
  branchCharacters: 128,
  branchesPerTransaction: 1000,
  urlCharacters: 2048,
  hintCharacters: 256,
  reasonCharacters: 1024,
  /** Of one request to the relay; the bytes leave room for one transaction of the largest payloads. */
  operationsPerBatch: 500,
  batchBytes: 8 * 1024 * 1024,
  waitMs: 60_000,
  delayMs: 366 * 24 * 60 * 60 * 1000,
} as const
