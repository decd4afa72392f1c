import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type Books, type CrashCast, crashCast, type TwoPhaseLabel } from './crash-cast.ts'

/** Who dies at a label, and what has to happen for anybody to come by there. */
interface Case {
  readonly dies: 'service' | 'relay'
  /** Where the service dies as well, for the relay to have something to ask about. */
  readonly serviceDiesAt?: TwoPhaseLabel
  /** The first call of each order fails, so that the next one is claimed from the database. */
  readonly firstCallFails?: boolean
}

const CASES: Readonly<Record<TwoPhaseLabel, Case>> = {
  'sdk.before_prepare': { dies: 'service' },
  'sdk.after_prepare': { dies: 'service' },
  'sdk.before_commit': { dies: 'service' },
  'sdk.after_commit': { dies: 'service' },
  'sdk.before_submit': { dies: 'service' },
  'sdk.after_submit': { dies: 'service' },
  'coordinator.after_hand_over': { dies: 'relay' },
  'dispatcher.after_claim': { dies: 'relay' },
  'dispatcher.after_response': { dies: 'relay' },
  'dispatcher.after_record': { dies: 'relay' },
  'back_query.after_claim': { dies: 'relay', serviceDiesAt: 'sdk.after_commit' },
  'back_query.after_answer': { dies: 'relay', serviceDiesAt: 'sdk.before_commit' },
  'back_query.after_record': { dies: 'relay', serviceDiesAt: 'sdk.before_submit' },
}

/** How often each label is visited; `npm run test:crash-matrix` visits it twenty times. */
const RUNS = Number(process.env['POSTCOMMIT_CRASH_RUNS'] ?? 2)
const SETTLE_MS = 60_000
const RUN_MS = 30_000
const DISARMED = 'consumer.before_commit:throw'

let cast: CrashCast
const table: (readonly (string | number)[])[] = []

beforeAll(async () => {
  cast = await crashCast()
})
afterAll(async () => {
  await cast.end()
  process.stdout.write(`${describeTable()}\n`)
})

for (const [label, how] of Object.entries(CASES) as [TwoPhaseLabel, Case][]) {
  test(
    `${how.dies} killed at ${label}, ${RUNS} times: nothing lost, nothing that was not committed, nothing undecided`,
    () => visit(label, how),
    SETTLE_MS + RUNS * RUN_MS,
  )
}

async function visit(label: TwoPhaseLabel, how: Case): Promise<void> {
  cast.failFirst(how.firstCallFails === true)
  let deaths = 0
  for (let run = 0; run < RUNS; run += 1) {
    // Early and late: the first of all, and in the middle of others that are at every other place.
    const pass = 1 + (run % 7)
    if (how.dies === 'relay') deaths += await killRelays(label, how, run, pass)
    else {
      await killService(label, run, pass, label)
      deaths += 1
    }
  }
  const books = await cast.balance(label, SETTLE_MS)
  table.push([label, how.dies, RUNS, deaths, books.committed, books.lost, books.phantom, books.twice, books.undecided])
  expect(deaths).toBeGreaterThanOrEqual(RUNS)
  expect(books).toMatchObject({ lost: 0, phantom: 0, twice: 0, undecided: 0 } satisfies Partial<Books>)
}

/** The service dies at a label while it commits, and comes back. */
async function killService(label: TwoPhaseLabel, run: number, pass: number, at: TwoPhaseLabel): Promise<void> {
  const service = cast.service()
  service.send(`arm ${at}:kill:${pass}`)
  // Until then: while both relays are starting no commit gets as far as most labels.
  service.send(`place ${label}-${run}`)
  expect(await service.exit).toEqual({ code: null, signal: 'SIGKILL' })
  await cast.restartService()
}

/** Both relays would die at a label; whoever gets there does, and comes back. Resolves to how many that were. */
async function killRelays(label: TwoPhaseLabel, how: Case, run: number, pass: number): Promise<number> {
  const armed = await cast.relays()
  const before = cast.deaths.length
  for (const relay of armed) relay.send(`arm ${label}:kill:${how.serviceDiesAt === undefined ? pass : 1}`)
  if (how.serviceDiesAt === undefined) cast.service().send(`place ${label}-${run}`)
  else await killService(label, run, pass, how.serviceDiesAt)
  await eventually(() => expect(cast.deaths.length).toBeGreaterThan(before), { timeoutMs: RUN_MS })
  for (const relay of armed) relay.send(`arm ${DISARMED}`)
  if (how.serviceDiesAt === undefined) {
    cast.service().send('stop')
    await cast.service().waitForLine(new RegExp(`^stopped ${label}-${run}$`), { timeoutMs: RUN_MS })
  }
  const died = cast.deaths.slice(before)
  for (const exit of died) expect(exit).toEqual({ code: null, signal: 'SIGKILL' })
  return died.length
}

function describeTable(): string {
  const head = ['label', 'dies', 'runs', 'deaths', 'committed', 'lost', 'phantom', 'twice', 'undecided']
  const rows = [head, ...table].map((row) => row.map(String))
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  '),
    )
    .join('\n')
}
