import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { freePort, type NatsServer, startNats } from '@postcommit/relay/dev'
import { createFaultProxy, type FaultProxy } from './fault-proxy.ts'
import { NATS_BINARY } from './nats-binary.ts'

/** One of the servers of a {@link NatsCluster}: it can be killed, stopped, paused, and cut off from the others. */
export interface NatsNode extends NatsServer {
  /** As the servers call it. */
  readonly name: string
  /** The others do not reach it any more, nor it them, while its clients stay connected. */
  cutOff(how?: CutOff): void
  /** Ends {@link cutOff}. */
  rejoin(): Promise<void>
}

/**
 * How a node is parted from the others. `silent`: nothing passes and nobody is told; what was on its way arrives after
 * it has rejoined. `refused`: connections break, and new ones are refused. `mute`: it hears the others, and is not
 * heard.
 */
export type CutOff = 'silent' | 'refused' | 'mute'

/** Three nats-servers that replicate JetStream among each other. */
export interface NatsCluster {
  readonly nodes: readonly NatsNode[]
  /** The addresses of all nodes for clients, with commas between them. */
  readonly url: string
  /** The node that leads the stream, as the first of these nodes knows that answers; default any. */
  leaderOf(stream: string, asked?: readonly NatsNode[]): Promise<NatsNode>
  /** Waits until a stream of three copies can be made: every node is there, and they agree. */
  untilAgreed(): Promise<void>
  /** Ends all nodes. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const HOST = '127.0.0.1'
const AGREED_TIMEOUT_MS = 60_000
const ASK_TIMEOUT_MS = 2000
const ASK_AGAIN_MS = 100

/**
 * Starts the nodes with their data below `folder`.
 *
 * Each node reaches each other one through a proxy of its own, so that a node can be cut off without stopping it. They
 * tell nobody of other addresses: neither clients, which keep to those that they are given, nor each other.
 */
export async function startNatsCluster(folder: string): Promise<NatsCluster> {
  const ports = [await freePort(), await freePort(), await freePort()]
  const links = await openLinks(ports)
  const started = await Promise.allSettled(ports.map((port, node) => startNode(folder, node, port, links)))
  const nodes = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.stop()))
    await Promise.all(links.map(({ proxy }) => proxy.close()))
  }
  try {
    const failed = started.find((each) => each.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    const cluster = describeCluster(nodes, stop)
    await cluster.untilAgreed()
    return cluster
  } catch (error) {
    await stop()
    throw error
  }
}

/** The way of one node to another: who opens the connection is `from`. */
interface NodeLink {
  readonly from: number
  readonly to: number
  readonly proxy: FaultProxy
}

/**
 * A ring: one way between each two nodes, and one that each node opens, without which it would not take part. With one
 * each way nodes drop one of the two as a duplicate, and now and then it takes them a minute to agree which.
 */
async function openLinks(ports: readonly number[]): Promise<readonly NodeLink[]> {
  return await Promise.all(
    ports.map(async (_, from) => {
      const to = (from + 1) % ports.length
      return { from, to, proxy: await createFaultProxy({ target: { host: HOST, port: ports[to] ?? 0 } }) }
    }),
  )
}

async function startNode(
  folder: string,
  node: number,
  routePort: number,
  links: readonly NodeLink[],
): Promise<NatsNode> {
  const routes = links.filter(({ from }) => from === node).map(({ proxy }) => `nats-route://${HOST}:${proxy.port}`)
  const config = `
ping_interval: "5s"
ping_max: 2
cluster {
  name: postcommit-test
  listen: "${HOST}:${routePort}"
  # Nothing listens there. Without it nodes tell each other of the ports behind the proxies, and go past them.
  advertise: "${HOST}:1"
  no_advertise: true
  routes: [${routes.map((route) => JSON.stringify(route)).join(', ')}]
}
`
  const server = await startNats({ storeDir: join(folder, `nats-${node + 1}`), config, ...NATS_BINARY })
  const own = links.filter(({ from, to }) => from === node || to === node)
  return Object.assign(server, {
    name: await nameOf(server),
    cutOff: (how: CutOff = 'silent') => {
      for (const { from, proxy } of own) cut(proxy, how, from === node ? 'up' : 'down')
    },
    rejoin: async () => {
      for (const { proxy } of own) {
        proxy.heal()
        await proxy.acceptNew()
      }
    },
  })
}

/** @param away - the direction in which the proxy passes on what the node sends */
function cut(proxy: FaultProxy, how: CutOff, away: 'up' | 'down'): void {
  switch (how) {
    case 'silent':
      proxy.blackhole()
      break
    case 'mute':
      proxy.blackhole(away)
      break
    case 'refused':
      proxy.refuseNew()
      proxy.cutAll()
      break
  }
}

function describeCluster(nodes: readonly NatsNode[], stop: () => Promise<void>): NatsCluster {
  return {
    nodes,
    url: nodes.map(({ url }) => url).join(','),
    leaderOf: (stream, asked = nodes) =>
      untilAnswered(async () => {
        const leader = await askFirst(asked, async (manager) => (await manager.streams.info(stream)).cluster?.leader)
        const found = nodes.find(({ name }) => name === leader)
        if (found === undefined) throw new Error(`${stream} has no leader`)
        return found
      }),
    async untilAgreed() {
      await untilAnswered(async () => {
        for (const node of nodes) await ask(node, (manager) => manager.getAccountInfo())
        await ask(nodes[0], async ({ streams }) => {
          await streams.add({ name: 'agreement', subjects: ['agreement'], num_replicas: nodes.length })
          await streams.delete('agreement')
        })
      })
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

async function untilAnswered<Answer>(question: () => Promise<Answer>): Promise<Answer> {
  const deadline = performance.now() + AGREED_TIMEOUT_MS
  for (;;) {
    try {
      return await question()
    } catch (error) {
      if (performance.now() > deadline) throw error
    }
    await sleep(ASK_AGAIN_MS)
  }
}

async function askFirst<Answer>(
  nodes: readonly NatsNode[],
  question: (manager: JetStreamManager) => Promise<Answer>,
): Promise<Answer> {
  return await Promise.any(nodes.map((node) => ask(node, question)))
}

/** A connection of its own for each question: one that is kept would be one more that has to get over the faults. */
async function ask<Answer>(
  node: NatsServer | undefined,
  question: (manager: JetStreamManager) => Promise<Answer>,
): Promise<Answer> {
  const connection = await connect({ servers: node?.url ?? '', reconnect: false, timeout: ASK_TIMEOUT_MS })
  try {
    return await question(await jetstreamManager(connection, { checkAPI: false, timeout: ASK_TIMEOUT_MS }))
  } finally {
    // Not drained: a node that is stopped would not answer to that either.
    await connection.close()
  }
}

async function nameOf({ url }: NatsServer): Promise<string> {
  const connection = await connect({ servers: url })
  const name = connection.info?.server_name ?? ''
  await connection.close()
  return name
}
