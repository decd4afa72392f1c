import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { freePort } from '@postcommit/relay/dev'
import { barrierFrom } from 'postcommit/barrier'
import type { Failpoint } from 'postcommit/protocol'
import { compilePrograms } from '../../examples/shop/compile.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { type HttpService, httpService } from '../support/http-service.ts'
import { type Program, type ProgramExit, spawnProgram } from '../support/program.ts'
import { repositoryFolder } from '../support/repository-folder.ts'
import { CLI } from '../support/run-cli.ts'

/** What can be wrong at the end; of a sound system all are zero. */
export interface Books {
  readonly committed: number
  readonly refused: number
  /** Committed, or said to be, and without effect. */
  readonly lost: number
  /** An effect of what is not committed. */
  readonly phantom: number
  readonly twice: number
  /** Neither ended well nor badly. */
  readonly undecided: number
}

/** A service, two relays that cannot look into its database, and a service whose stock is deducted. */
export interface CrashCast {
  readonly service: () => Program
  /** The two relays, when those that have died are back. */
  readonly relays: () => Promise<readonly Program[]>
  /** The stock answers 500 once to each order before it deducts: what is called then was claimed from the database. */
  readonly failFirst: (is: boolean) => void
  /** Starts the service again when it has died. */
  readonly restartService: () => Promise<void>
  /** How the relays that have died did. They are started again at once. */
  readonly deaths: readonly ProgramExit[]
  /** Waits until everything is decided and carried out, at most `timeoutMs`, and counts what came of a label's runs. */
  readonly balance: (label: string, timeoutMs: number) => Promise<Books>
  readonly end: () => Promise<void>
}

const START_MS = 60_000
const SCHEMA = `create table orders (id text primary key, refused boolean not null);
create function refuse() returns trigger language plpgsql as $$ begin raise 'refused'; end $$;
create constraint trigger refused after insert on orders deferrable initially deferred
  for each row when (new.refused) execute function refuse()`

/** Starts the cast, on three databases. */
export async function crashCast(): Promise<CrashCast> {
  const [shop, store, relayDb] = await Promise.all([database(), database(), database()])
  await shop.pool.query(SCHEMA)
  await store.pool.query('create table effect (id text not null)')
  let failsFirst = false
  const stock = await stockService(store, () => failsFirst)
  const ports = { service: await freePort(), relays: [await freePort(), await freePort()] as const }
  const at = (port: number) => `http://127.0.0.1:${port}`
  const programs = await compilePrograms(join(repositoryFolder, 'test/support/fixtures'))
  const serving = async (file: string, args: readonly string[], env = {}): Promise<Program> => {
    const program = await spawnProgram(file, args, env)
    await program.waitForLine(/^serving$|serving the API/, { timeoutMs: START_MS })
    return program
  }
  const destinations = JSON.stringify({ stock: { url: stock.url }, orders: { url: at(ports.service) } })
  const relayOptions = ['--database-url', relayDb.url, '--coordinator-database', 'main', '--destinations', destinations]
  const preload = { NODE_OPTIONS: `--import ${pathToFileURL(join(programs, 'dies-on-cue.js')).href}` }
  const startRelay = (port: number) => {
    const options = [...relayOptions, '--http-enabled', 'false', '--api-auth', 'none', '--api-port', `${port}`]
    return serving(CLI, ['run', ...options], preload)
  }
  const serviceFile = join(programs, 'mortal-service.js')
  const startService = () => serving(serviceFile, [shop.url, `${ports.service}`, ...ports.relays.map(at)])
  const [firstService, relays] = await Promise.all([
    startService(),
    keepAlive(ports.relays.map((port) => () => startRelay(port))),
  ])
  const told: string[] = []
  let service = firstService
  const hear = () => told.push(...service.lines.flatMap((line) => /^committed (.*)$/.exec(line)?.[1] ?? []))

  return {
    service: () => service,
    relays: relays.all,
    failFirst(is) {
      failsFirst = is
    },
    async restartService() {
      await service.exit
      hear()
      service = await startService()
    },
    deaths: relays.deaths,
    async balance(label, timeoutMs) {
      await relays.all()
      await eventually(async () => expectZero(await unfinished(relayDb)), { timeoutMs, everyMs: 50 }).catch(() => 0)
      hear()
      return count(label, { shop, store, told, undecided: await unfinished(relayDb) })
    },
    async end() {
      await Promise.all([service.kill(), relays.end()])
      await stock[Symbol.asyncDispose]()
      await Promise.all([shop.drop(), store.drop(), relayDb.drop()])
    },
  }
}

/** Programs that are started again whenever they have died. */
interface KeptAlive {
  readonly deaths: readonly ProgramExit[]
  /** The programs, when those that have died are back. */
  readonly all: () => Promise<readonly Program[]>
  readonly end: () => Promise<void>
}

async function keepAlive(starts: readonly (() => Promise<Program>)[]): Promise<KeptAlive> {
  const deaths: ProgramExit[] = []
  const current = starts.map((start) => start())
  let ended = false
  const keep = async (start: () => Promise<Program>, index: number): Promise<void> => {
    while (!ended) {
      const exit = await (await current[index])?.exit
      if (ended || exit === undefined) return
      deaths.push(exit)
      current[index] = start()
    }
  }
  await Promise.all(current)
  const kept = Promise.all(starts.map(keep))
  const all = () => Promise.all(current)
  return {
    deaths,
    all,
    async end() {
      const last = await all()
      ended = true
      await Promise.all(last.map((program) => program.kill()))
      await kept
    },
  }
}

/** Each effect is guarded by a barrier; that it is there twice anyway would show, as its table takes everything. */
function stockService(store: TestDatabase, failsFirst: () => boolean): Promise<HttpService> {
  const seen = new Set<string>()
  return httpService(async ({ headers, body, path }) => {
    const { id } = JSON.parse(body.toString()) as { id: string }
    if (failsFirst() && !seen.has(id)) {
      seen.add(id)
      return 500
    }
    await barrierFrom({ headers, url: path }).call(store.pool, async (tx) => {
      await tx.query('insert into effect values ($1)', [id])
    })
    return 204
  })
}

async function count(
  label: string,
  { shop, store, told, undecided }: { shop: TestDatabase; store: TestDatabase; told: string[]; undecided: number },
): Promise<Books> {
  const of = (prefix: string) => [`${prefix}-%`]
  const orders = await shop.pool.query<{ id: string }>('select id from orders where id like $1', of(label))
  const effects = await store.pool.query<{ id: string; n: number }>(
    'select id, count(*)::int as n from effect where id like $1 group by id',
    of(label),
  )
  const committed = new Set(orders.rows.map(({ id }) => id))
  const effective = new Set(effects.rows.map(({ id }) => id))
  const promised = new Set([...committed, ...told.filter((id) => id.startsWith(`${label}-`))])
  const tombs = await shop.pool.query(`select count(*)::int as n from postcommit.barrier where reason = 'rollback'`)
  return {
    committed: committed.size,
    refused: tombs.rows[0]?.n ?? 0,
    lost: [...promised].filter((id) => !effective.has(id)).length,
    phantom: [...effective].filter((id) => !committed.has(id)).length,
    twice: effects.rows.filter(({ n }) => n > 1).length,
    undecided,
  }
}

async function unfinished({ pool }: TestDatabase): Promise<number> {
  const { rows } = await pool.query<{ n: number }>(
    `select (select count(*) from postcommit.global_transaction where finished_at is null)::int
      + (select count(*) from postcommit.delivery where state in ('pending', 'held', 'dead'))::int as n`,
  )
  return rows[0]?.n ?? -1
}

function expectZero(n: number): void {
  if (n !== 0) throw new Error(`${n} have not ended`)
}

/** The labels on the way of a two-phase message: a new one has no place in the matrix until it is given one. */
export type TwoPhaseLabel =
  | Extract<Failpoint, `${'sdk' | 'dispatcher' | 'back_query'}.${string}`>
  | 'coordinator.after_hand_over'
