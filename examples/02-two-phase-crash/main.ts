/**
 * A service whose database the relay cannot read, killed at each step of a commit. What it committed takes effect, and
 * nothing else does: the relay asks, and the database of the service has the answer.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createRelay } from '@postcommit/relay'
import { freePort, startPostgres } from '@postcommit/relay/dev'
import pg from 'pg'
import { pino } from 'pino'

const STEPS = [
  ['sdk.before_prepare', 'before it announced the order'],
  ['sdk.after_prepare', 'when the announcement was acknowledged'],
  ['sdk.before_commit', 'before COMMIT'],
  ['sdk.after_commit', 'after COMMIT'],
  ['sdk.before_submit', 'before it let the relay go on'],
  ['sdk.after_submit', 'when the relay was going on'],
] as const

const folder = await mkdtemp(join(tmpdir(), 'two-phase-crash-'))
const { DATABASE_URL } = process.env
const postgres = DATABASE_URL === undefined ? await startPostgres({ dataDir: join(folder, 'postgres') }) : undefined
const server = new pg.Client({ connectionString: DATABASE_URL ?? postgres?.url })
await server.connect()
const [ordersUrl, relayDatabaseUrl] = [await freshDatabase('orders'), await freshDatabase('relay')]
const orders = new pg.Pool({ connectionString: ordersUrl })
await orders.query('create table orders (id text primary key)')

const port = await freePort()
const deducted: string[] = []
const relay = createRelay({
  db: relayDatabaseUrl,
  coordinator: { database: 'main' },
  destinations: { orders: { url: `http://127.0.0.1:${port}` } },
  handlers: {
    async stock({ content }) {
      deducted.push(JSON.parse(String(content)).order)
    },
  },
  api: { port: 0, auth: 'none' },
  // It warns of the service that does not answer while it is dead.
  log: pino({ level: 'error' }),
})
await relay.start()
const { api = '' } = await relay.listen()

for (const [index, [label, when]] of STEPS.entries()) {
  const order = `order-${index + 1}`
  console.log(`killed ${when}`)
  const [, signal] = await once(startService(order, label), 'exit')
  if (signal !== 'SIGKILL') throw new Error(`the service ended otherwise: ${signal}`)

  const answers: string[] = []
  const service = startService(order)
  createInterface({ input: service.stdout ?? process.stdin }).on('line', (line) => {
    const [, verdict] = /^answered (committed|aborted)$/.exec(line) ?? []
    if (verdict !== undefined) answers.push(verdict)
  })
  const ended = await relay.transactions?.perform({ do: 'query', gid: order as never, waitMs: 30_000 })
  const { rowCount } = await orders.query('select from orders where id = $1', [order])
  console.log(`  the database of the service  ${rowCount === 1 ? 'has the order' : 'has nothing'}`)
  console.log(
    `  the relay                    ${ended?.outcome === 'refused' ? 'was told nothing' : whatItAsked(answers)}`,
  )
  console.log(`  the stock                    deducted ${howOften(deducted.filter((one) => one === order).length)}`)
  service.kill('SIGKILL')
  await once(service, 'exit')
}
const { rows } = await orders.query<{ id: string }>('select id from orders order by id')
console.log(`committed: ${rows.map(({ id }) => id).join(', ')}`)
console.log(`deducted:  ${deducted.toSorted().join(', ')}`)

await relay.stop()
await orders.end()
await server.end()
await postgres?.stop()
await rm(folder, { recursive: true })

function whatItAsked(answers: readonly string[]): string {
  return answers.length === 0 ? 'had no need to ask' : `asked, and was answered: ${answers.join(', ')}`
}

function howOften(times: number): string {
  return ['nothing', 'once'][times] ?? `${times} times`
}

function startService(order: string, diesAt?: string): ChildProcess {
  const file = fileURLToPath(new URL('./order-service.ts', import.meta.url))
  const args = [ordersUrl, api, String(port), order, ...(diesAt === undefined ? [] : [diesAt])]
  return spawn(process.execPath, [...process.execArgv, file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
}

/** A database with the schema `postcommit`, made anew. */
async function freshDatabase(suffix: string): Promise<string> {
  const url = new URL(DATABASE_URL ?? postgres?.url ?? '')
  url.pathname += `_${suffix}`
  const name = url.pathname.slice(1)
  await server.query(`drop database if exists ${name} with (force)`)
  await server.query(`create database ${name}`)
  const cli = new URL('./bin/postcommit.js', import.meta.resolve('@postcommit/relay/package.json'))
  await promisify(execFile)(process.execPath, [fileURLToPath(cli), 'migrate', '--database-url', url.href])
  return url.href
}
