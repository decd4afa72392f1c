/**
 * The limit of publishing: messages that are already in memory, through the relay's own multiplexer of acknowledgements
 * (`relay`) or through the client library's `js.publish` (`client`), with as many in flight as the relay has.
 */
import { randomUUID } from 'node:crypto'
import { jetstream } from '@nats-io/jetstream'
import { connect, headers } from '@nats-io/transport-node'
import { ENVELOPE, NATS_MESSAGE_ID } from 'postcommit/protocol'
import { openBroker } from '../../../relay/broker/broker.ts'
import { serve } from '../serve.ts'

export interface PublishLoopConfig {
  readonly nats: string
  readonly subject: string
  readonly bytes: number
  readonly through: 'relay' | 'client'
}

export type PublishLoopCommands = {
  /** Publishes `count` messages; resolves to how many a second were acknowledged. */
  drain: (count: number) => Promise<{ perSecond: number }>
}

const IN_FLIGHT = 1000

type Publish = (messageId: string, settle: (problem: string | undefined) => void) => void

serve<PublishLoopConfig, PublishLoopCommands>(async (config) => {
  const { publish, close } = config.through === 'relay' ? await openRelays(config) : await openClients(config)
  return {
    commands: {
      async drain(count) {
        const gids = Array.from({ length: count }, () => randomUUID())
        const startedAt = performance.now()
        await publishAll(gids, publish)
        return { perSecond: (1000 * count) / (performance.now() - startedAt) }
      },
    },
    close,
  }
})

function publishAll(gids: readonly string[], publish: Publish): Promise<void> {
  return new Promise((resolve, reject) => {
    let next = 0
    let acked = 0
    const settle = (problem: string | undefined): void => {
      acked += 1
      if (problem !== undefined) reject(new Error(problem))
      else if (acked === gids.length) resolve()
      else fill()
    }
    const fill = (): void => {
      for (; next < gids.length && next - acked < IN_FLIGHT; next += 1) publish(gids[next] ?? '', settle)
    }
    fill()
  })
}

async function openRelays({ nats, subject, bytes }: PublishLoopConfig) {
  const broker = openBroker({
    connection: { servers: nats },
    ackTimeoutMs: 5000,
    onConnected: () => undefined,
    onWithheld: () => undefined,
    onCleared: () => undefined,
    onTrouble: (event, detail) => console.error(event, detail),
  })
  await broker.connection()
  const content = contentOf(bytes)
  const publish: Publish = (gid, settle) => {
    const message = { messageId: `${gid}:1`, gid, branch: 1, subject, key: undefined, content, headers: undefined }
    broker.publish(message, (verdict) => settle(verdict.kind === 'acked' ? undefined : JSON.stringify(verdict)))
  }
  return { publish, close: () => broker.close() }
}

async function openClients({ nats, subject, bytes }: PublishLoopConfig) {
  const connection = await connect({ servers: nats, noAsyncTraces: true })
  const js = jetstream(connection)
  const content = contentOf(bytes)
  const publish: Publish = (gid, settle) => {
    const all = headers()
    all.set(NATS_MESSAGE_ID, `${gid}:1`)
    all.set(ENVELOPE.gid, gid)
    all.set(ENVELOPE.branch, '1')
    all.set(ENVELOPE.content, 'application/json')
    js.publish(subject, content, { headers: all }).then(
      () => settle(undefined),
      (error: unknown) => settle(String(error)),
    )
  }
  return { publish, close: () => connection.close() }
}

function contentOf(bytes: number): string {
  return `{"text":"${'x'.repeat(bytes - 11)}"}`
}
