/** Our relay, embedded as a user would embed it, on a database and a stream of the bench. */
import { createRelay, type RelayOptions } from '@postcommit/relay'
import { pino } from 'pino'
import { serve } from '../serve.ts'

/** Which database and which broker. */
export interface RelayConfig {
  readonly database: string
  readonly nats?: string
  /** Where its acknowledgements go; see `latency`. */
  readonly inboxPrefix?: string
  readonly stream?: { readonly name: string; readonly subjects: readonly string[] }
  readonly destinations?: RelayOptions['destinations']
}

export type RelayCommands = Record<never, never>

serve(async ({ database, nats, inboxPrefix, stream, destinations }: RelayConfig) => {
  const relay = createRelay({
    db: database,
    log: pino({ level: 'error' }, pino.destination(2)),
    ...(destinations === undefined ? {} : { destinations }),
    ...(nats === undefined
      ? {}
      : {
          nats: {
            connection: { servers: nats, ...(inboxPrefix === undefined ? {} : { inboxPrefix }) },
            streams: stream === undefined ? [] : [stream],
          },
        }),
  })
  await relay.start()
  return { commands: {}, close: () => relay.stop() }
})
