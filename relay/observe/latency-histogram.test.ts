import { Histogram, Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import { LatencyHistogram } from './latency-histogram.ts'

const OPTIONS = {
  name: 'waited_seconds',
  help: 'How long.',
  labelNames: ['source', 'destination'],
  buckets: [0.1, 1, 5],
}
const SECONDS = [0, 0.05, 0.1, 0.100001, 1, 4.9, 5, 6, 1000]
const NATS = { source: 'main', destination: 'nats' }
const STOCK = { source: 'ma"in', destination: 'stock' }

/** Both kinds, with the same in them. */
function filled() {
  const [own, library] = [new Registry(), new Registry()]
  const ours = new LatencyHistogram({ ...OPTIONS, registers: [own] })
  const theirs = new Histogram({ ...OPTIONS, registers: [library] })
  for (const seconds of SECONDS) {
    ours.labels(NATS).observe(seconds)
    theirs.observe(NATS, seconds)
    ours.labels(STOCK).observe(2 * seconds)
    theirs.observe(STOCK, 2 * seconds)
  }
  return { own, library, ours }
}

describe('LatencyHistogram', () => {
  test('a scrape shows what the histogram of prom-client would', async () => {
    const { own, library } = filled()
    expect(await own.metrics()).toBe(await library.metrics())
  })

  test('the same labels are one series, whatever their order', async () => {
    const { ours } = filled()
    expect(ours.labels({ destination: 'nats', source: 'main' })).toBe(ours.labels(NATS))
  })

  test('a reset forgets, and the series go on', async () => {
    const { own, ours } = filled()
    const series = ours.labels(NATS)
    own.resetMetrics()
    series.observe(3)
    const { values } = await ours.get()
    const counts = values.filter(({ metricName }) => metricName === 'waited_seconds_count')
    expect(counts.map(({ value }) => value)).toEqual([1, 0])
  })
})
