import type { NatsConnection } from '@nats-io/transport-node'

const TIMEOUT_MS = 2000
export const NO_SUCH_MESSAGE = 10037
export const NO_SUCH_STREAM = 10059

/** What JetStream answers about streams and their messages, as far as a relay looks at it. */
export interface JetStreamAnswer {
  readonly error?: { readonly err_code?: number; readonly description?: string }
  readonly message?: { readonly hdrs?: string }
  readonly created?: string
  readonly state?: { readonly first_seq?: number; readonly last_seq?: number; readonly last_ts?: string }
}

/**
 * One request to JetStream's API.
 *
 * @throws if it does not answer, or this user may not ask.
 */
export async function askJetStream(nc: NatsConnection, what: string, body: object): Promise<JetStreamAnswer> {
  const answer = await nc.request(`$JS.API.${what}`, JSON.stringify(body), { timeout: TIMEOUT_MS })
  return answer.json<JetStreamAnswer>()
}
