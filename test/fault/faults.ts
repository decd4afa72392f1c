import { setTimeout as sleep } from 'node:timers/promises'
import type { Program } from '../../examples/shop/program.ts'
import { STREAM } from '../../examples/shop/shop.ts'
import type { NatsNode } from '../support/nats-cluster.ts'
import type { ClusterStage, Stage } from './stage.ts'

/** Something that goes wrong and is mended again. */
export interface Fault {
  readonly name: string
  /** Makes it happen; resolves when it is mended. */
  happen(): Promise<void>
}

type Between = (least: number, most: number) => number

/** What can happen to the programs of a shop: they are killed, and relays are also stopped past their lease. */
export function programFaults(
  { orders, stock, mail, relays }: Pick<Stage, 'orders' | 'stock' | 'mail' | 'relays'>,
  leaseMs: number,
  between: Between,
): readonly Fault[] {
  const kill = (program: Program): Fault => ({
    name: `kill -9 ${program.name}`,
    async happen() {
      await program.end('SIGKILL')
      await sleep(between(0, 500))
      await program.start()
    },
  })
  const stop = (program: Program): Fault => ({
    name: `stop ${program.name}`,
    async happen() {
      program.pause()
      await sleep(between(leaseMs / 4, 2 * leaseMs))
      program.resume()
    },
  })
  return [...[orders, stock, mail, ...relays].map(kill), ...relays.map(stop)]
}

/** What can happen to the servers, and between them and the relays. */
export function serverFaults(stage: ClusterStage, between: Between): readonly Fault[] {
  const { postgres } = stage
  return [
    {
      name: 'kill -9 PostgreSQL',
      async happen() {
        await postgres.kill()
        await sleep(between(0, 500))
        await postgres.start()
      },
    },
    {
      name: 'stop PostgreSQL',
      async happen() {
        postgres.pause()
        await sleep(between(200, 3000))
        postgres.resume()
      },
    },
    { name: 'restart PostgreSQL', happen: () => postgres.restart() },
    ...nodeFaults(stage, between),
    ...pathFaults(stage, between),
  ]
}

/** What can happen to the node that leads the stream, and to another one. The other two are well meanwhile. */
function nodeFaults({ nats }: ClusterStage, between: Between): readonly Fault[] {
  const victims: Readonly<Record<string, () => Promise<NatsNode>>> = {
    leader: () => nats.leaderOf(STREAM),
    follower: async () => {
      const leader = await nats.leaderOf(STREAM)
      const followers = nats.nodes.filter((node) => node !== leader)
      return followers[Math.floor(between(0, followers.length))] ?? leader
    },
  }
  return Object.entries(victims).flatMap(([role, find]) => [
    {
      name: `kill -9 NATS ${role}`,
      async happen() {
        const node = await find()
        await node.kill()
        await sleep(between(0, 3000))
        await node.start()
      },
    },
    {
      name: `stop NATS ${role}`,
      async happen() {
        const node = await find()
        node.pause()
        await sleep(between(500, 6000))
        node.resume()
      },
    },
    {
      name: `cut off NATS ${role}`,
      async happen() {
        const node = await find()
        node.cutOff(between(0, 1) < 0.5 ? 'silent' : 'refused')
        await sleep(between(1000, 8000))
        await node.rejoin()
      },
    },
    { name: `restart NATS ${role}`, happen: async () => await (await find()).restart() },
  ])
}

/** A relay does not reach NATS, which everybody else reaches. */
function pathFaults({ paths }: ClusterStage, between: Between): readonly Fault[] {
  return [...paths].map(([relay, path]) => ({
    name: `cut ${relay} from NATS`,
    async happen() {
      path.cut(between(0, 1) < 0.5 ? 'silent' : 'refused')
      await sleep(between(500, 4000))
      await path.mend()
    },
  }))
}
