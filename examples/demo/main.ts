/**
 * `npm run demo`: a small shop with real servers takes orders while its processes are killed, and then counts whether
 * anything was lost or happened twice. Everything runs on 127.0.0.1 and below .postcommit/demo.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Books, discrepancies, readLedger } from '../shop/ledger.ts'
import { type Load, startLoad } from '../shop/load.ts'
import { publishingRelay, untilQuiet, untoldOrders } from '../shop/observe.ts'
import type { Program } from '../shop/program.ts'
import type { Shop } from '../shop/shop.ts'
import { type Kills, printReport } from './report.ts'
import { closeStage, openStage } from './stage.ts'
import { say } from './timeline.ts'

const QUIET_TIMEOUT_MS = 30_000
const DEMO_TIMEOUT_MS = 120_000
/** The order service kills itself when it has committed so many orders, before it does anything else. */
const DIE_AFTER_COMMIT = { NODE_ENV: 'test', POSTCOMMIT_FAILPOINTS: 'sdk.after_commit:kill:30' }

let isInterrupted = false
for (const [signal, exitCode] of Object.entries({ SIGINT: 130, SIGTERM: 143 })) {
  process.on(signal, () => {
    // Asked twice: whoever asks does not want to wait.
    if (isInterrupted) process.exit(exitCode)
    isInterrupted = true
    say('stop', signal)
    void closeStage().finally(() => process.exit(exitCode))
  })
}

setTimeout(() => {
  say('stop', `not done after ${DEMO_TIMEOUT_MS / 1000} s; the logs are below .postcommit/demo/shop`)
  void closeStage().finally(() => process.exit(1))
}, DEMO_TIMEOUT_MS).unref()

try {
  const shop = await openStage()
  await shop.start(DIE_AFTER_COMMIT)
  say('up', `order service, stock service, ${shop.mail === undefined ? '' : 'mail service, '}2 relays`)
  const load = startLoad({ url: shop.url, batch: 'demo' })
  say('load', '8 customers order, each one order after the other')
  const kills = await playFaults(shop, load)
  await load.stop()
  say('load', `the customers are done; they had to ask again ${load.repeats} times`)
  const isQuiet = await untilQuiet(shop.books, QUIET_TIMEOUT_MS)
  say('quiet', isQuiet ? 'everything is delivered' : 'still not everything is delivered')
  const ledger = await readLedger(shop.books, load.confirmed)
  const isSound = isQuiet && ledger.orders > 0 && discrepancies(ledger).length === 0
  await printReport(shop.books, ledger, kills)
  process.exitCode = isSound ? 0 : 1
} catch (error) {
  // The play does not go well without its cast.
  if (!isInterrupted) throw error
} finally {
  await closeStage()
}

/** Kills the order service three times and a relay once, while customers order. */
async function playFaults({ orders, relays, books }: Shop, load: Load): Promise<Kills> {
  await untilKilled(orders)
  say('KILL', await describeUntold(books, load))
  await orders.start(DIE_AFTER_COMMIT)
  say('up', 'order service is back, and asked again for those orders')
  await untilKilled(orders)
  say('KILL', await describeUntold(books, load))
  await orders.start()
  say('up', 'order service is back')
  await sleep(800)
  await orders.end('SIGKILL')
  say('KILL', 'order service, from outside')
  await orders.start()
  say('up', 'order service is back')
  await sleep(500)
  const publishing = await publishingRelay(books)
  const relay = relays.find(({ name }) => name === publishing) ?? relays[0]
  await relay?.end('SIGKILL')
  say('KILL', `${relay?.name}${publishing === undefined ? '' : ', the one that publishes'}; the other one takes over`)
  await sleep(1200)
  await relay?.start()
  say('up', `${relay?.name} is back`)
  await sleep(500)
  return { services: 3, relays: 1 }
}

async function untilKilled(program: Program): Promise<void> {
  const how = await program.ended()
  if (how !== 'SIGKILL') throw new Error(`${program.name} ended with ${how}:\n${program.lines.slice(-20).join('\n')}`)
}

async function describeUntold(books: Books, load: Load): Promise<string> {
  const untold = await untoldOrders(books, load.confirmed)
  return `order service, between a COMMIT and all that follows; committed, and the customer has no answer: ${untold.join(', ')}`
}
