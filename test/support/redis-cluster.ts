import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort, type RedisServer, startRedis } from '@postcommit/relay/dev'
import { Cluster, Redis } from 'ioredis'
import { createCluster } from 'redis'
import { privateFolder } from './private-servers.ts'

/** A Redis cluster of three masters for one test file alone, which may kill them. */
export interface TestRedisCluster {
  readonly nodes: readonly RedisServer[]
  readonly nodeRedis: ReturnType<typeof openNodeRedis>
  readonly ioredis: Cluster
  /** Sends a command to one node, past the clients of the cluster. */
  ask(node: number, ...command: readonly string[]): Promise<unknown>
  close(): Promise<void>
}

const SLOTS = 16384
const PASSWORD = 'of-a-test-alone'

/** Starts the masters, shares the slots out among them, and connects both clients. */
export async function redisCluster(): Promise<TestRedisCluster> {
  const folder = await privateFolder('redis-cluster')
  const nodes = await Promise.all([0, 1, 2].map((node) => startNode(join(folder, String(node)))))
  const direct = nodes.map(({ url }) => new Redis(url))
  for (const client of direct) client.on('error', () => {})
  const ask = (node: number, ...[name = '', ...args]: readonly string[]) =>
    direct[node]?.call(name, ...args) ?? Promise.reject(new Error(`there is no node ${node}`))
  const close = async () => {
    for (const client of direct) client.disconnect()
    await Promise.all(nodes.map((node) => node.stop()))
  }
  await join3(nodes, ask)
  const nodeRedis = openNodeRedis(nodes)
  nodeRedis.on('error', () => {})
  await nodeRedis.connect()
  const ioredis = new Cluster(
    nodes.map(({ host, port }) => ({ host, port })),
    { redisOptions: { password: PASSWORD } },
  )
  ioredis.on('error', () => {})
  return {
    ...{ nodes, nodeRedis, ioredis, ask },
    async close() {
      nodeRedis.destroy()
      ioredis.disconnect()
      await close()
    },
  }
}

async function startNode(dataDir: string): Promise<RedisServer> {
  // The clients of a cluster know one password for all nodes.
  await writeFile(`${dataDir}.password`, `${PASSWORD}\n`)
  const settings = {
    'cluster-enabled': 'yes',
    'cluster-port': String(await freePort()),
    'cluster-node-timeout': '3000',
    'cluster-require-full-coverage': 'no',
  }
  return await startRedis({ dataDir, settings })
}

async function join3(nodes: readonly RedisServer[], ask: TestRedisCluster['ask']): Promise<void> {
  for (const [node, { host }] of nodes.entries()) {
    const [from, to] = [node, node + 1].map((share) => Math.floor((SLOTS * share) / nodes.length))
    await ask(node, 'cluster', 'addslotsrange', String(from), String((to ?? 0) - 1))
    const [, bus] = (await ask(node, 'config', 'get', 'cluster-port')) as string[]
    await ask(0, 'cluster', 'meet', host, String(nodes[node]?.port), bus ?? '')
  }
  for (let node = 0; node < nodes.length; ) {
    const info = String(await ask(node, 'cluster', 'info'))
    if (/cluster_state:ok/.test(info) && /cluster_known_nodes:3/.test(info)) node += 1
    else await sleep(50)
  }
}

function openNodeRedis(nodes: readonly RedisServer[]) {
  return createCluster({
    rootNodes: nodes.map(({ host, port }) => ({ url: `redis://${host}:${port}` })),
    defaults: { password: PASSWORD },
  })
}
