import type { Goal, Measurement, Spread } from './measurement.ts'

const OURS = 'postcommit'

/** What is printed when a case is done: figures as min, median and max, then what they are held to. */
export function describe(measurement: Measurement): string {
  const { name, unit, ours, limit, peers, note } = measurement
  const rows: (readonly [string, Spread])[] = [
    [measurement.first ?? OURS, ours],
    ...(limit === undefined ? [] : [[`limit: ${limit.name}`, limit] as const]),
    ...Object.entries(peers),
  ]
  const width = Math.max(...rows.map(([label]) => label.length))
  return [
    `${name} (${unit})`,
    ...rows.map(
      ([label, spread]) => `  ${label.padEnd(width)}  ${figures(spread)}${against(label, spread, measurement)}`,
    ),
    ...measurement.goals.map((goal) => `  ${goal.held ? 'held    ' : 'NOT HELD'}  ${goalText(goal)}`),
    ...(note === undefined ? [] : [`  ${note}`]),
  ].join('\n')
}

/** How many goals there are and which are not held. */
export function summary(measurements: readonly Measurement[]): string {
  const goals = measurements.flatMap(({ name, goals }) => goals.map((goal) => ({ name, goal })))
  const missed = goals.filter(({ goal }) => !goal.held)
  const lines = missed.map(({ name, goal }) => `  ${name}: ${goalText(goal)}`)
  return [`${goals.length - missed.length} of ${goals.length} goals held`, ...lines].join('\n')
}

/** `60,000`, `4.12` or `0.034`: three digits that matter, and no more. */
export function figure(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en')
  return String(Number(value.toPrecision(3)))
}

/** A goal and what it came to. */
export function goalText({ text, value }: Goal): string {
  return `${text}: ${figure(value)}`
}

function figures({ min, median, max }: Spread): string {
  return [min, median, max].map((value) => figure(value).padStart(9)).join(' ')
}

function against(label: string, spread: Spread, { ours, first }: Measurement): string {
  return label === OURS || first !== undefined ? '' : `   ours is ${figure(ours.median / spread.median)} ×`
}
