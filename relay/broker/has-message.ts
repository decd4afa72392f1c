import type { NatsConnection } from '@nats-io/transport-node'
import { NATS_MESSAGE_ID } from 'postcommit/protocol'

const TIMEOUT_MS = 2000
const NO_SUCH_MESSAGE = 10037
const NO_SUCH_STREAM = 10059

/** What JetStream answers, as far as this is about it. */
interface ApiAnswer {
  readonly error?: { readonly err_code?: number; readonly description?: string }
  readonly message?: { readonly hdrs?: string }
  readonly state?: { readonly last_seq?: number }
}

/**
 * Whether a stream still has what it acknowledged under a number. Neither the stream's age nor its newest number says so:
 * a store that was set back is given new messages under the old numbers. What the stream has let go since, by age, by
 * number or because it was consumed, is as good as there; of a stream that is missing nothing can be said, so it is too.
 *
 * @throws if JetStream does not answer, or this user may not ask.
 */
export async function hasMessage(
  nc: NatsConnection,
  { stream, sequence, messageId }: { readonly stream: string; readonly sequence: number; readonly messageId: string },
): Promise<boolean> {
  const found = await ask(nc, `STREAM.MSG.GET.${stream}`, { seq: sequence })
  if (found.message !== undefined) return messageIdOf(found.message.hdrs ?? '') === messageId
  switch (found.error?.err_code) {
    case NO_SUCH_MESSAGE: {
      const { state, error } = await ask(nc, `STREAM.INFO.${stream}`, {})
      if (error?.err_code === NO_SUCH_STREAM) return true
      if (state?.last_seq === undefined) throw new Error(error?.description ?? 'no state in the answer')
      return state.last_seq >= sequence
    }
    case NO_SUCH_STREAM:
      return true
    default:
      throw new Error(found.error?.description ?? 'an answer without a message')
  }
}

async function ask(nc: NatsConnection, what: string, body: object): Promise<ApiAnswer> {
  const answer = await nc.request(`$JS.API.${what}`, JSON.stringify(body), { timeout: TIMEOUT_MS })
  return answer.json<ApiAnswer>()
}

function messageIdOf(headers: string): string | undefined {
  const lines = Buffer.from(headers, 'base64').toString().split('\r\n')
  const line = lines.find((one) => one.toLowerCase().startsWith(`${NATS_MESSAGE_ID.toLowerCase()}:`))
  return line?.slice(NATS_MESSAGE_ID.length + 1).trim()
}
