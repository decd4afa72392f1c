import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench, Case } from '../case.ts'
import { atMost, type Condition, type Measurement, read } from '../measurement.ts'
import { METERED, type Meter, openMeter, type ServerWork } from '../meter.ts'
import { Opened } from '../opened.ts'
import { inRooms, type Room } from '../rooms.ts'

/** How many are under way at once. */
const AT_ONCE = 32
/** After the last answer, for what the relay still writes down. */
const SETTLE_MS = 300

const BARE = 'the local transaction alone'
const MESSAGE = 'a message'
const PUBLISHES = 'a two-phase message of three events'

type Cost = ServerWork & { readonly clientMs: number }

/** What does not depend on how fast the machine is. */
export const cost: Case = {
  name: 'cost',
  title: 'What a message costs, in figures that depend little on the machine',
  caveats: [
    `${AT_ONCE} at once, each from its local transaction (one SELECT, one INSERT and one UPDATE, which are part of every row but that of the saga) until it is written down as done. How many share a statement of the relay depends on how many are under way.`,
    'Statements are counted by pg_stat_statements, BEGIN and COMMIT among them; commits are transactions that wrote. Service and relay have a database each where a message is two-phase, on one server that runs nothing else; the statements of both count.',
    'Processor time is that of the processes of PostgreSQL, and of service and relay together; nats-server and the called service are left out, except for a saga, whose branches are transactions of that service.',
  ],
  async run(bench) {
    const server = await bench.servers.postgresAside(METERED)
    try {
      await using meter = await openMeter(server.url)
      return await measure(bench, meter, server.url)
    } finally {
      await server.stop()
    }
  },
}

async function measure(bench: Bench, meter: Meter, server: string): Promise<readonly Measurement[]> {
  const costs = new Map<string, Cost[]>()
  const writes = new Map<string, number[]>()
  for (const [name, open] of inRooms({ server, atOnce: AT_ONCE })) {
    const opened = new Opened()
    let written: () => Promise<number>
    let count = 0
    {
      await using _ = opened
      const room = await open(bench, opened)
      const each = async (many: number) => {
        count += many
        await room.run(many)
        await sleep(SETTLE_MS)
      }
      bench.progress(`warming up ${name}`)
      await each(bench.scale(1000, 400))
      const measured: Cost[] = []
      for (let round = 0; round < bench.rounds; round += 1) {
        measured.push(await costOf(room, meter, bench.scale(1000, 400), each))
        bench.progress(`${name}: ${measured.at(-1)?.statements.toFixed(2)} statements`)
      }
      costs.set(name, measured)
      written = room.rowWrites
    }
    // When its connections are closed they have told what they wrote.
    writes.set(name, [(await written()) / count])
  }
  return [...report(costs), rowWritesOf(writes)]
}

async function costOf({ clients }: Room, meter: Meter, count: number, each: (count: number) => Promise<void>) {
  await Promise.all(clients.map((client) => client.watch()))
  const work = await meter.during(() => each(count))
  const usages = await Promise.all(clients.map((client) => client.usage()))
  const clientMs = usages.reduce((sum, { cpuMs }) => sum + cpuMs, 0)
  return {
    statements: work.statements / count,
    commits: work.commits / count,
    walBytes: work.walBytes / count,
    cpuMs: work.cpuMs === undefined ? undefined : work.cpuMs / count,
    clientMs: clientMs / count,
  }
}

function report(costs: ReadonlyMap<string, readonly Cost[]>): readonly Measurement[] {
  const of = (name: string, unit: string, value: (cost: Cost) => number) =>
    tableOf(new Map([...costs].map(([each, all]) => [each, all.map(value)])), name, unit)
  const measured = [
    of('SQL statements', 'statements', ({ statements }) => statements),
    of('commits', 'commits', ({ commits }) => commits),
    of('write-ahead log', 'bytes', ({ walBytes }) => walBytes),
    of('processor time of service and relay', 'µs', ({ clientMs }) => 1000 * clientMs),
  ]
  if ([...costs.values()].flat().some(({ cpuMs }) => cpuMs === undefined)) return measured
  return [...measured, of('processor time of PostgreSQL', 'µs', ({ cpuMs }) => 1000 * (cpuMs ?? Number.NaN))]
}

function rowWritesOf(writes: ReadonlyMap<string, readonly number[]>): Measurement {
  const ordered = new Map([...writes].sort(([a], [b]) => Number(b === PUBLISHES) - Number(a === PUBLISHES)))
  ordered.delete(BARE)
  return {
    ...tableOf(ordered, 'row writes of postcommit', 'rows inserted, updated or deleted', PUBLISHES, [atMost(6.1)]),
    note: 'One in the database of the service for each two-phase message (the barrier row), and 2 + n in that of the relay: 6 for three events.',
  }
}

function tableOf(
  samples: ReadonlyMap<string, readonly number[]>,
  name: string,
  unit: string,
  ours = MESSAGE,
  goals: readonly Condition<string>[] = [],
): Measurement {
  const limit = samples.has(BARE) ? { limit: BARE } : {}
  const peers = [...samples.keys()].filter((each) => each !== ours && each !== BARE)
  return read(Object.fromEntries(samples), { name, unit, ours, ...limit, peers, goals, allOurs: true, better: 'lower' })
}
