/**
 * `npm run test:standstills`: what happens to one node of three NATS nodes, or to the way of a relay to them, and how
 * long messages waited then without one being confirmed. Prints a table; ends with 1 if the books do not balance.
 *
 *   --only <text>   only what has this text in its name
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { discrepancies, readLedger } from '../../examples/shop/ledger.ts'
import { startLoad } from '../../examples/shop/load.ts'
import { publishingRelay, untilQuiet } from '../../examples/shop/observe.ts'
import { STREAM } from '../../examples/shop/shop.ts'
import type { NatsNode } from '../support/nats-cluster.ts'
import { type ClusterStage, openClusterStage } from './stage.ts'
import { longest, watchStandstills } from './standstill.ts'

/** Longer than a relay needs today to see that a node does not answer any more and to find another. */
const WAIT_MAX_MS = 120_000
const CUT_MS = 20_000

const { values } = parseArgs({ options: { only: { type: 'string' } } })

/** Makes it happen, and waits as long as it takes; resolves with what ends it. */
type Trial = (stage: ClusterStage) => Promise<() => Promise<void> | void>

const leaderOf = ({ nats }: ClusterStage) => nats.leaderOf(STREAM)

/** The node to which the relay that publishes is connected. */
async function nodeOfRelay(stage: ClusterStage): Promise<NatsNode> {
  const server = stage.paths.get((await publishingRelay(stage.books)) ?? '')?.connectedTo()
  const node = stage.nats.nodes.find(({ url }) => url === server?.url)
  if (node === undefined) throw new Error('no relay publishes')
  return node
}

const TRIALS: Readonly<Record<string, Trial>> = {
  'leader killed': async (stage) => {
    const leader = await leaderOf(stage)
    await leader.kill()
    await untilGoingOn(stage)
    return leader.start
  },
  'leader stopped (SIGSTOP)': async (stage) => {
    const leader = await leaderOf(stage)
    leader.pause()
    await untilGoingOn(stage)
    return leader.resume
  },
  'node of the relay stopped (SIGSTOP)': async (stage) => {
    const node = await nodeOfRelay(stage)
    node.pause()
    await untilGoingOn(stage)
    return node.resume
  },
  'leader cut off for 20 s': async (stage) => {
    const leader = await leaderOf(stage)
    leader.cutOff()
    await sleep(CUT_MS)
    return leader.rejoin
  },
  'node of the relay cut off for 20 s': async (stage) => {
    const node = await nodeOfRelay(stage)
    node.cutOff()
    await sleep(CUT_MS)
    return node.rejoin
  },
  'relay cut from NATS for 20 s': async (stage) => {
    const path = stage.paths.get((await publishingRelay(stage.books)) ?? '')
    path?.cut()
    await sleep(CUT_MS)
    return () => path?.mend()
  },
}

const folder = await mkdtemp(join(tmpdir(), 'postcommit-standstills-'))
try {
  await using stage = await openClusterStage(folder, { relays: 2 })
  process.exitCode = (await measure(stage)) ? 0 : 1
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function measure(stage: ClusterStage): Promise<boolean> {
  console.log(`nats-server ${stage.nats.nodes[0]?.version}; nothing confirmed while messages waited, seconds:`)
  const load = startLoad({ url: stage.url, batch: 'load', customers: 4, pauseMs: 100 })
  for (const [name, trial] of Object.entries(TRIALS)) {
    if (!name.includes(values.only ?? '')) continue
    await untilGoingOn(stage)
    const watch = watchStandstills(stage.books.orders)
    const end = await trial(stage)
    await end()
    await untilGoingOn(stage)
    console.log(`${name.padEnd(36)} ${(longest(await watch.stop()) / 1000).toFixed(1).padStart(6)}`)
  }
  await load.stop()
  const isQuiet = await untilQuiet(stage.books, WAIT_MAX_MS)
  const ledger = await readLedger(stage.books, load.confirmed)
  const wrong = [...discrepancies(ledger), ...(isQuiet ? [] : ['not everything is delivered'])]
  console.log(`${ledger.orders} orders, ${wrong.join(', ') || 'sound'}`)
  return wrong.length === 0
}

/** Waits until messages that were committed from now on are confirmed, some seconds long without a pause. */
async function untilGoingOn({ books }: ClusterStage): Promise<void> {
  const deadline = performance.now() + WAIT_MAX_MS
  for (;;) {
    await sleep(300)
    const watch = watchStandstills(books.orders)
    await sleep(3000)
    if (longest(await watch.stop()) < 1000) return
    if (performance.now() > deadline) throw new Error(`nothing is confirmed within ${WAIT_MAX_MS} ms`)
  }
}
