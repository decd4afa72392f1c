/** What is looked at again and again while the same is done all the time. */
export interface Figures {
  /** Promises that are alive after a collection. */
  readonly promises: number
  /** Bytes of the heap after a collection. */
  readonly heap: number
  /** Rows of all tables of postcommit. */
  readonly rows: number
  /** Files of the two servers. */
  readonly files: number
  /** Metric series of the relay. */
  readonly series: number
}

/** How one figure has changed. */
export interface Growth {
  readonly name: keyof Figures
  /** Its mean in the middle third of the time, and in the last. */
  readonly before: number
  readonly after: number
  readonly isSteady: boolean
}

const RATIO_MAX = 1.1
/**
 * What one look may be off: what is under way at the moment, and a round of the housekeeping that comes late: at the rate
 * of the test that is a partition with its receipts and calls, some thousand rows.
 */
const SLACK: Figures = { promises: 150, heap: 2e6, rows: 1000, files: 20, series: 0 }

/** Compares the last third of the looks with the middle one; the first is for getting going. */
export function growthOf(looks: readonly Figures[]): readonly Growth[] {
  const third = Math.floor(looks.length / 3)
  return (['promises', 'heap', 'rows', 'files', 'series'] as const).map((name) => {
    const before = mean(looks.slice(third, 2 * third).map((look) => look[name]))
    const after = mean(looks.slice(-third).map((look) => look[name]))
    return { name, before, after, isSteady: after <= before * RATIO_MAX + SLACK[name] }
  })
}

/** A line a figure, with heads. */
export function growthTable(growth: readonly Growth[]): readonly string[] {
  const line = (...cells: readonly string[]) =>
    cells.map((cell, index) => cell[index === 0 ? 'padEnd' : 'padStart'](12)).join('')
  return [
    line('', 'at a third', 'at the end', 'ratio'),
    ...growth.map(({ name, before, after, isSteady }) =>
      line(name, before.toFixed(0), after.toFixed(0), `${(after / before).toFixed(3)}${isSteady ? '' : ' !'}`),
    ),
  ]
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
