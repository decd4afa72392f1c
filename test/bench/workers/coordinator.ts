/** Our relay as it coordinates global transactions: with its API, on a database of its own. */
import { createRelay, type RelayOptions } from '@postcommit/relay'
import { pino } from 'pino'
import { serve } from '../serve.ts'

/** Which database, and who is called. */
export interface CoordinatorConfig {
  readonly database: string
  readonly destinations: NonNullable<RelayOptions['destinations']>
  /** Where events are published. */
  readonly nats?: { readonly url: string; readonly stream: string; readonly subjects: readonly string[] }
}

export type CoordinatorCommands = {
  url(): string
}

serve<CoordinatorConfig, CoordinatorCommands>(async ({ database, destinations, nats }) => {
  const relay = createRelay({
    databases: { main: database },
    coordinator: { database: 'main' },
    api: { port: 0, auth: 'none' },
    destinations,
    ...(nats && {
      nats: { connection: { servers: nats.url }, streams: [{ name: nats.stream, subjects: nats.subjects }] },
    }),
    log: pino({ level: 'error' }, pino.destination(2)),
  })
  const { api } = await relay.listen()
  await relay.start()
  if (api === undefined) throw new Error('serves no API')
  return { commands: { url: () => api }, close: () => relay.stop() }
})
