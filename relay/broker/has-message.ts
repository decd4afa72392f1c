import type { NatsConnection } from '@nats-io/transport-node'
import { NATS_MESSAGE_ID } from 'postcommit/protocol'
import { askJetStream, NO_SUCH_MESSAGE, NO_SUCH_STREAM } from './ask-jetstream.ts'

/** What has become of a message that a stream acknowledged. */
export const Holding = {
  /** It is under its number, or the stream has let it go by age, by number or because it was consumed. */
  There: 'there',
  /** Another message is under its number, or the stream has not come so far yet: it was set back, or made again. */
  Lost: 'lost',
  /** There is no such stream. */
  NoStream: 'no stream',
} as const
export type Holding = (typeof Holding)[keyof typeof Holding]

/**
 * Whether a stream still has what it acknowledged under a number. Neither the stream's age nor its newest number says so:
 * a store that was set back is given new messages under the old numbers.
 *
 * @throws if JetStream does not answer, or this user may not ask.
 */
export async function hasMessage(
  nc: NatsConnection,
  { stream, sequence, messageId }: { readonly stream: string; readonly sequence: number; readonly messageId: string },
): Promise<Holding> {
  const found = await askJetStream(nc, `STREAM.MSG.GET.${stream}`, { seq: sequence })
  if (found.message !== undefined) {
    return messageIdOf(found.message.hdrs ?? '') === messageId ? Holding.There : Holding.Lost
  }
  switch (found.error?.err_code) {
    case NO_SUCH_MESSAGE: {
      const { state, error } = await askJetStream(nc, `STREAM.INFO.${stream}`, {})
      if (error?.err_code === NO_SUCH_STREAM) return Holding.NoStream
      if (state?.last_seq === undefined) throw new Error(error?.description ?? 'no state in the answer')
      return state.last_seq >= sequence ? Holding.There : Holding.Lost
    }
    case NO_SUCH_STREAM:
      return Holding.NoStream
    default:
      throw new Error(found.error?.description ?? 'an answer without a message')
  }
}

function messageIdOf(headers: string): string | undefined {
  const lines = Buffer.from(headers, 'base64').toString().split('\r\n')
  const line = lines.find((one) => one.toLowerCase().startsWith(`${NATS_MESSAGE_ID.toLowerCase()}:`))
  return line?.slice(NATS_MESSAGE_ID.length + 1).trim()
}
