import { alternate } from '../alternate.ts'
import { BUSINESS_SCHEMA } from '../business.ts'
import type { Bench, Case } from '../case.ts'
import { type Measurement, ratioAtLeast, read } from '../measurement.ts'
import { startWorker } from '../worker.ts'
import type { ProducerCommands, ProducerConfig } from '../workers/producer.ts'
import type { RelayCommands, RelayConfig } from '../workers/relay.ts'

const CONNECTIONS = [8, 32]

const ON = 'with wake-ups'
const OFF = 'without wake-ups, the relay polling'

/** What waking the relay costs a service that commits as fast as it can. */
export const wakeUp: Case = {
  name: 'wake-up',
  title: 'What waking the relay costs the service that commits',
  caveats: [
    'The relay publishes meanwhile, in both, and takes processor time from the service: the rates are lower than those of the producer alone.',
  ],
  async run(bench) {
    const { servers } = bench
    const [database, stream] = await Promise.all([servers.database(), servers.stream()])
    await database.pool.query(BUSINESS_SCHEMA)
    const at = { database: database.url, contender: 'outbox over pg', topic: `${stream.prefix}.order` } as const
    const [notifying, silent, relay] = await Promise.all([
      startWorker<ProducerCommands>('producer', { ...at, wake: 'notify' } satisfies ProducerConfig),
      startWorker<ProducerCommands>('producer', { ...at, wake: 'off' } satisfies ProducerConfig),
      startWorker<RelayCommands>('relay', {
        database: database.url,
        nats: servers.nats.url,
        stream: { name: stream.name, subjects: stream.subjects },
      } satisfies RelayConfig),
    ])
    try {
      const measured: Measurement[] = []
      for (const connections of CONNECTIONS) {
        const contender = (producer: typeof silent) => (ms: number) => producer.call('run', connections, ms, 'unkeyed')
        measured.push(await measureAt(bench, connections, { [ON]: contender(notifying), [OFF]: contender(silent) }))
      }
      return measured
    } finally {
      await Promise.all([notifying.stop(), silent.stop()])
      await relay.stop()
      await stream.remove()
    }
  },
}

async function measureAt(
  bench: Bench,
  connections: number,
  contenders: Readonly<Record<typeof ON | typeof OFF, (ms: number) => Promise<number>>>,
): Promise<Measurement> {
  for (const name of [ON, OFF] as const) await contenders[name](bench.scale(1000, 300))
  const samples = await alternate(
    { [ON]: () => contenders[ON](bench.scale(1500, 400)), [OFF]: () => contenders[OFF](bench.scale(1500, 400)) },
    5,
    (name, value) => bench.progress(`${name}, ${connections} connections: ${Math.round(value)}/s`),
  )
  return read(samples, {
    name: `commit() flat out while the relay publishes, ${connections} connections`,
    unit: 'commits/s',
    ours: ON,
    limit: OFF,
    goals: [ratioAtLeast(OFF, 0.95)],
  })
}
