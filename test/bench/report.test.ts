import { expect, test } from 'vitest'
import { describePerformance } from './document.ts'
import { atLeast, ratioAtLeast, read } from './measurement.ts'
import { describe, figure, summary } from './report.ts'

const samples = { ours: [61_000, 59_000, 63_000], loop: [120_000, 121_000, 119_000], peer: [20_000, 21_000, 19_000] }
const goals = [atLeast(60_000), ratioAtLeast('loop', 0.6)]
const measurement = read(samples, {
  name: 'drain',
  unit: 'messages/s',
  ours: 'ours',
  limit: 'loop',
  peers: ['peer'],
  goals,
  note: 'Read this.',
})

test('figures have three digits that matter', () => {
  expect([61_234.5, 999.4, 4.1234, 0.03456, 0].map(figure)).toEqual(['61,235', '999', '4.12', '0.0346', '0'])
})

test('a measurement is printed with its limit, its peers and what it is held to', () => {
  expect(describe(measurement).split('\n')).toEqual([
    'drain (messages/s)',
    '  postcommit      59,000    61,000    63,000',
    '  limit: loop    119,000   120,000   121,000   ours is 0.508 ×',
    '  peer            19,000    20,000    21,000   ours is 3.05 ×',
    '  held      ≥ 60,000 messages/s: 61,000',
    '  NOT HELD  ≥ 0.6 × loop: 0.508',
    '  Read this.',
  ])
})

test('the summary counts goals and names those that are missed', () => {
  expect(summary([measurement, read(samples, { name: 'free', unit: '', ours: 'peer' })])).toBe(
    '1 of 2 goals held\n  drain: ≥ 0.6 × loop: 0.508',
  )
})

test('the document has a section for each case, with its table and what is not comparable', () => {
  const each = { name: 'drain', title: 'A backlog', caveats: ['Apples.'], run: () => Promise.resolve([]) }
  const text = describePerformance(['2 × processor'], new Map([[each, [measurement]]]))
  for (const line of [
    '- 2 × processor',
    '## A backlog',
    '`npm run bench -- --only drain`',
    '| **postcommit** | 59,000 | 61,000 | 63,000 |  |',
    '| limit: loop | 119,000 | 120,000 | 121,000 | 0.508 |',
    '| peer | 19,000 | 20,000 | 21,000 | 3.05 |',
    'Held: ≥ 60,000 messages/s: 61,000. **Not held**: ≥ 0.6 × loop: 0.508.',
    'Read this.',
    '- Apples.',
  ]) {
    expect(text.split('\n')).toContain(line)
  }
})
