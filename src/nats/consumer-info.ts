import type { ConsumerProgress } from './gate.ts'
import type { Requests } from './requests.ts'

/** A durable consumer as the server describes it. */
export interface ConsumerInfo {
  readonly progress: ConsumerProgress
  readonly config: ConsumerConfig
}

/** The part of its configuration that decides whether a subscription can use it. */
export interface ConsumerConfig {
  readonly ackPolicy: string | undefined
  readonly ackWaitMs: number
  /** -1: without end. */
  readonly deliveriesMax: number
  readonly ackPendingMax: number
  /** Sorted; empty: the whole stream. */
  readonly subjects: readonly string[]
  readonly isPush: boolean
  readonly isHeadersOnly: boolean
  readonly hasBackOff: boolean
}

/** An error that the JetStream API answered. */
class JetStreamError extends Error {
  override readonly name = 'JetStreamError'
  /** `err_code` of the answer. */
  readonly code: number

  constructor(code: number, description: string) {
    super(`${description} (${code})`)
    this.code = code
  }
}

/** There is no such stream. */
export const NO_STREAM = 10059
const CONSUMER_NOT_FOUND = 10014

/** Asks for a consumer; undefined if there is none. Needs `$JS.API.CONSUMER.INFO.<stream>.<durable>` only. */
export async function selectConsumer(
  requests: Requests,
  stream: string,
  durable: string,
): Promise<ConsumerInfo | undefined> {
  try {
    return readConsumer(await ask(requests, `CONSUMER.INFO.${stream}.${durable}`, ''))
  } catch (error) {
    if (error instanceof JetStreamError && error.code === CONSUMER_NOT_FOUND) return undefined
    throw error
  }
}

/** What a new consumer is made with. */
export interface NewConsumer {
  readonly stream: string
  readonly durable: string
  readonly ackWaitMs: number
  readonly ackPendingMax: number
  /** With the whole stream, with what comes from now on, or with what the stream took at a time. */
  readonly start: 'all' | 'new' | { readonly atStamp: string }
  readonly subjects: readonly string[]
}

/** Makes a durable pull consumer. The fields are those of nats-server 2.9; a newer, strict one knows them too. */
export async function insertConsumer(requests: Requests, consumer: NewConsumer): Promise<ConsumerInfo> {
  const { stream, durable, subjects } = consumer
  const [subject] = subjects
  const filter =
    subjects.length > 1 ? { filter_subjects: subjects } : subject === undefined ? {} : { filter_subject: subject }
  const config = {
    durable_name: durable,
    ack_policy: 'explicit',
    ack_wait: consumer.ackWaitMs * 1e6,
    max_deliver: -1,
    max_ack_pending: consumer.ackPendingMax,
    ...startOf(consumer.start),
    replay_policy: 'instant',
    ...filter,
  }
  const body = JSON.stringify({ stream_name: stream, config })
  return readConsumer(await ask(requests, `CONSUMER.DURABLE.CREATE.${stream}.${durable}`, body))
}

function startOf(start: NewConsumer['start']): Record<string, string> {
  if (typeof start === 'string') return { deliver_policy: start }
  const seconds = new Date(Number(BigInt(start.atStamp) / 1_000_000_000n) * 1000).toISOString().slice(0, 19)
  const nanoseconds = start.atStamp.slice(-9).padStart(9, '0')
  return { deliver_policy: 'by_start_time', opt_start_time: `${seconds}.${nanoseconds}Z` }
}

type Json = Readonly<Record<string, unknown>>

async function ask(requests: Requests, call: string, body: string): Promise<Json> {
  const { data } = await requests.request(`$JS.API.${call}`, body)
  const answer = record(JSON.parse(new TextDecoder().decode(data)))
  const { error } = answer
  if (error === undefined) return answer
  const { err_code: code, description } = record(error)
  throw new JetStreamError(Number(code ?? 0), typeof description === 'string' ? description : 'JetStream refused')
}

function readConsumer(answer: Json): ConsumerInfo {
  const config = record(answer['config'])
  const single = config['filter_subject']
  const several = config['filter_subjects']
  const subjects = Array.isArray(several) ? several : typeof single === 'string' && single !== '' ? [single] : []
  return {
    progress: {
      deliveredThrough: number(record(answer['delivered'])['stream_seq'], 0),
      settledThrough: number(record(answer['ack_floor'])['stream_seq'], 0),
      unsettled: number(answer['num_ack_pending'], 0),
    },
    config: {
      ackPolicy: typeof config['ack_policy'] === 'string' ? config['ack_policy'] : undefined,
      ackWaitMs: number(config['ack_wait'], 30e9) / 1e6,
      deliveriesMax: number(config['max_deliver'], -1) || -1,
      ackPendingMax: number(config['max_ack_pending'], -1),
      subjects: subjects.map(String).sort(),
      isPush: config['deliver_subject'] !== undefined,
      isHeadersOnly: config['headers_only'] === true,
      hasBackOff: config['backoff'] !== undefined,
    },
  }
}

function record(value: unknown): Json {
  // A parsed JSON object is indexed by text and nothing is assumed of its values.
  return typeof value === 'object' && value !== null ? (value as Json) : {}
}

function number(value: unknown, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise
}
