/**
 * Kills one of two relays under load, ten times, always the one that publishes, and measures how long it takes until
 * the other one has handed on an order that was committed after the kill.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { discrepancies, readLedger } from '../../examples/shop/ledger.ts'
import { placeOrder, startLoad } from '../../examples/shop/load.ts'
import { publishingRelay, untilQuiet } from '../../examples/shop/observe.ts'
import { Order } from '../../examples/shop/schema.ts'
import { openStage, type Stage } from './stage.ts'

const KILLS = 10
const LIMIT_MS = 2000

const folder = await mkdtemp(join(tmpdir(), 'postcommit-takeover-'))
try {
  await using stage = await openStage(folder, { relays: 2 })
  const nats = await connect({ servers: stage.nats.url })
  try {
    process.exitCode = (await measure(stage, nats)) ? 0 : 1
  } finally {
    await nats.close()
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function measure(stage: Stage, nats: NatsConnection): Promise<boolean> {
  const load = startLoad({ url: stage.url, batch: 'load' })
  const probes: string[] = []
  const figures: number[] = []
  for (let kill = 1; kill <= KILLS; kill += 1) {
    await sleep(1000)
    const name = await publishingRelay(stage.books)
    const victim = stage.relays.find((relay) => relay.name === name)
    if (victim === undefined) throw new Error('no relay publishes')
    const probe = `probe-${kill}`
    const published = untilPublished(nats, probe)
    const killedAt = performance.now()
    await victim.end('SIGKILL')
    await place(stage.url, probe)
    await published
    figures.push(performance.now() - killedAt)
    probes.push(probe)
    console.log(
      `kill ${String(kill).padStart(2)}: ${name} killed, the other one published after ${figures.at(-1)?.toFixed(0)} ms`,
    )
    await victim.start()
  }
  await load.stop()
  const isQuiet = await untilQuiet(stage.books, 30_000)
  const ledger = await readLedger(stage.books, [...load.confirmed, ...probes])
  const wrong = [...discrepancies(ledger), ...(isQuiet ? [] : ['not everything is delivered'])]
  const slowest = Math.max(...figures)
  console.log(
    `longest ${slowest.toFixed(0)} ms of ${LIMIT_MS} allowed; ${ledger.orders} orders, ${wrong.join(', ') || 'sound'}`,
  )
  return slowest < LIMIT_MS && wrong.length === 0
}

/** Resolves when the message of an order passes the broker. */
async function untilPublished(nats: NatsConnection, orderId: string): Promise<void> {
  for await (const message of nats.subscribe('order.placed')) {
    if (Order.parse(message.json()).orderId === orderId) return
  }
}

async function place(url: string, orderId: string): Promise<void> {
  while ((await placeOrder(url, { orderId, customer: orderId, sku: orderId, quantity: 1 })) === 'unknown')
    await sleep(10)
}
