/**
 * Two banks that share nothing, and transfers between them: one that succeeds, two that are refused, and two in whose
 * middle somebody is killed. No money is lost or made, whatever happens.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { findMariadb, startMariadb, startPostgres } from '@postcommit/relay/dev'
import { createRelayClient } from 'postcommit'
import { castProcesses } from './cast.ts'
import { createDatabases, openVault } from './databases.ts'
import { transferSaga } from './transfer.ts'

const FOLDER = '.postcommit/transfer'
const WAIT_MS = 50_000

const { DATABASE_URL, MARIADB_URL } = process.env
const closers: (() => Promise<unknown>)[] = []

try {
  const postgresUrl = DATABASE_URL ?? (await started(startPostgres({ dataDir: `${FOLDER}/postgres` })))
  const mariadbUrl = MARIADB_URL ?? (findMariadb() && (await started(startMariadb({ dataDir: `${FOLDER}/mariadb` }))))
  await play(postgresUrl, mariadbUrl)
} finally {
  for (const close of closers.reverse()) await close()
}

async function started(starting: Promise<{ readonly url: string; stop(): Promise<unknown> }>): Promise<string> {
  const server = await starting
  closers.push(server.stop)
  return server.url
}

async function play(postgresUrl: string, mariadbUrl: string | undefined): Promise<void> {
  const databases = await createDatabases(postgresUrl, mariadbUrl)
  const vault = openVault(databases)
  closers.push(vault.end)
  const { north, south, relay, relayUrl, journal } = await castProcesses(`${FOLDER}/cast`, databases)
  for (const program of [north, south, relay]) {
    closers.push(() => program.end('SIGTERM'))
    await program.start()
  }
  const client = createRelayClient({ url: relayUrl, timeoutMs: WAIT_MS })
  closers.push(() => client.close())

  let told = 0
  const transfer = (amount: number, gid: string = randomUUID()) =>
    client.submitSaga(transferSaga({ from: 'alice', to: 'bob', amount }), { gid, waitMs: WAIT_MS })
  const tell = async (answer: Awaited<ReturnType<typeof transfer>>) => {
    const entries = readFileSync(journal, 'utf8').trimEnd().split('\n')
    for (const entry of entries.slice(told)) console.log(`  ${entry}`)
    told = entries.length
    console.log(`  ${answer.outcome}: ${await accounts()}`)
  }
  const accounts = async () => {
    const { alice = 0, bob = 0 } = await vault.balances()
    return `alice ${alice} + bob ${bob} = ${alice + bob}`
  }

  const untilPaidOut = async (left: number) => {
    const deadline = performance.now() + WAIT_MS
    while ((await vault.balances())['alice'] !== left) {
      if (performance.now() > deadline) throw new Error(`alice should have ${left}: ${await accounts()}`)
      await sleep(20)
    }
  }

  console.log('30 from alice to bob')
  await tell(await transfer(30))

  console.log('30 more, but the account of bob is frozen')
  await vault.freeze('bob', true)
  await tell(await transfer(30))
  await vault.freeze('bob', false)

  console.log('1000, which alice does not have')
  await tell(await transfer(1000))

  console.log('30, and the bank of bob is killed after its commit, before it answers')
  await south.end('SIGTERM')
  await south.start({ DIES_AFTER: 'TransIn' })
  const answerless = transfer(30)
  console.log(`  the bank of bob ended with ${await south.ended()}: ${await accounts()}`)
  await south.start()
  await tell(await answerless)

  console.log('30, and the relay is killed between the two banks')
  await south.end('SIGTERM')
  const halfway = transfer(30)
  await untilPaidOut(10)
  await relay.end('SIGKILL')
  console.log(`  with nobody at work: ${await accounts()}`)
  await south.start()
  await relay.start()
  await tell(await halfway)
}
