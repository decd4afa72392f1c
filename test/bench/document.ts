import { writeFile } from 'node:fs/promises'
import type { Case } from './case.ts'
import type { Measurement, Spread } from './measurement.ts'
import { figure, goalText } from './report.ts'

const FILE = new URL('../../docs/performance.md', import.meta.url)

/** Writes `docs/performance.md` from a full run. */
export async function writeDocument(
  machine: readonly string[],
  measured: ReadonlyMap<Case, readonly Measurement[]>,
): Promise<void> {
  await writeFile(FILE, describePerformance(machine, measured))
}

/** What is written. */
export function describePerformance(
  machine: readonly string[],
  measured: ReadonlyMap<Case, readonly Measurement[]>,
): string {
  const sections = [...measured].map(([each, measurements]) => section(each, measurements))
  return `${[head(machine), ...sections].join('\n\n')}\n`
}

function head(machine: readonly string[]): string {
  return `# Performance

Written by \`npm run bench -- --doc\`, on ${new Date().toISOString().slice(0, 10)}. Run it yourself: \`npm run bench -- --quick\` takes about four minutes, starts
everything it needs and leaves nothing running.

## How it is measured
${machine.map((line) => `- ${line}`).join('\n')}
- Every contender runs in a process of its own, on the same servers, with the same payloads, and does the same work once unmeasured to warm up.
- All contenders of a table are measured in turns, round after round, each round in another order. Figures are min, median and max of the rounds; a ratio is the median of the rounds' ratios.
- The machine is shared and noisy: read ratios, not figures, and no difference below a tenth.`
}

function section({ name, title, caveats = [] }: Case, measurements: readonly Measurement[]): string {
  const notes =
    caveats.length === 0 ? [] : [`Not comparable, or only with care:\n${caveats.map((text) => `- ${text}`).join('\n')}`]
  return [`## ${title}\n\`npm run bench -- --only ${name}\``, ...measurements.map(table), ...notes].join('\n\n')
}

const OURS = '**postcommit**'
const comparing = (unit: string) => [`| ${unit} | min | median | max | ours is × |`, '|---|---:|---:|---:|---:|']
const plain = (unit: string) => [`| ${unit} | min | median | max |`, '|---|---:|---:|---:|']

function table({ name, unit, ours, first, limit, peers, goals, note }: Measurement): string {
  const rows: (readonly [string, Spread])[] = [
    [first ?? OURS, ours],
    ...(limit === undefined ? [] : [[`limit: ${limit.name}`, limit] as const]),
    ...Object.entries(peers),
  ]
  const lines = rows.map(([label, { min, median, max }]) => {
    const times = label === OURS ? '' : figure(ours.median / median)
    const figures = [min, median, max].map(figure)
    return `| ${[label, ...figures, ...(first === undefined ? [times] : [])].join(' | ')} |`
  })
  const held = goals.map((goal) => `${goal.held ? 'Held' : '**Not held**'}: ${goalText(goal)}.`)
  return [
    `### ${name}`,
    [...(first === undefined ? comparing(unit) : plain(unit)), ...lines].join('\n'),
    ...(held.length === 0 ? [] : [held.join(' ')]),
    ...(note === undefined ? [] : [note]),
  ].join('\n\n')
}
