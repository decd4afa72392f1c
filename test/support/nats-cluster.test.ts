import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from './eventually.ts'
import type { NatsCluster, NatsNode } from './nats-cluster.ts'
import { privateNatsCluster } from './private-servers.ts'

const STREAM = 'COPIES'
const ELECTED = { timeoutMs: 60_000, everyMs: 200 }

let cluster: NatsCluster

beforeAll(async () => {
  cluster = await privateNatsCluster()
  const connection = await connectTo(cluster.nodes[0])
  const manager = await jetstreamManager(connection)
  await manager.streams.add({ name: STREAM, subjects: ['copies.>'], num_replicas: 3 })
  await connection.close()
})
afterAll(() => cluster[Symbol.asyncDispose]())

const connectTo = (node: NatsNode | undefined) => connect({ servers: node?.url ?? '' })

/** Publishes over this node alone, once. */
async function publish(node: NatsNode | undefined): Promise<number> {
  const connection = await connectTo(node)
  try {
    const { seq } = await jetstream(connection, { timeout: 1500 }).publish('copies.one', 'x')
    return seq
  } finally {
    await connection.close()
  }
}

test.each(['silent', 'refused', 'mute'] as const)(
  'the leader, cut off (%s), keeps its clients and confirms nothing; the others elect another, and it comes back',
  async (how) => {
    const leader = await cluster.leaderOf(STREAM)
    const others = cluster.nodes.filter((node) => node !== leader)
    const before = await publish(leader)
    leader.cutOff(how)
    // What the cut-off one would confirm is what a relay must not believe. Its clients stay, so this is no lost route.
    await expect(publish(leader)).rejects.toThrow(/timeout|no responders/i)
    const after = await eventually(() => publish(others[0]), ELECTED)
    expect(after).toBeGreaterThan(before)
    await leader.rejoin()
    await eventually(() => publish(leader), ELECTED)
  },
)

test('a paused leader is replaced, and a killed one comes back with its data', async () => {
  const leader = await cluster.leaderOf(STREAM)
  const [other] = cluster.nodes.filter((node) => node !== leader)
  const before = await publish(other)
  leader.pause()
  await eventually(() => publish(other), ELECTED)
  leader.resume()
  await leader.kill()
  await leader.start()
  expect(await eventually(() => publish(leader), ELECTED)).toBeGreaterThan(before)
})
