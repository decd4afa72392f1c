import { type Books, discrepancies, readBooks } from './books.ts'
import type { Market } from './market.ts'
import type { Rush } from './rush.ts'

/** A line of the table: one run on a stock that was sold out, or should have been. */
export interface Line {
  readonly run: string
  readonly requests: number
  readonly seconds: number
  /** Orders that stand. */
  readonly sold: number
  /** What is left of the stock. */
  readonly left: number
  /** Orders that were taken back; undefined: not published. */
  readonly takenBack: number | undefined
  /** What does not fit together. */
  readonly wrong: readonly string[]
}

/** What the compared system has published, with a stock of 100 each time. */
export const PUBLISHED: readonly Line[] = [
  {
    run: 'published: on DTM',
    requests: 1000,
    seconds: 3.1,
    sold: 217,
    left: 0,
    takenBack: undefined,
    wrong: ['"a large number" of orders stand'],
  },
  { run: 'published: with locks', requests: 1000, seconds: 0.56, sold: 4, left: 96, takenBack: 2, wrong: [] },
  { run: 'published: with locks', requests: 5000, seconds: 0.79, sold: 5, left: 95, takenBack: 1, wrong: [] },
]

/** What came of a run. */
export async function lineOf(run: string, market: Market, rush: Rush, initial: number): Promise<Line> {
  const books: Books = await readBooks(market)
  return {
    run,
    requests: rush.sold.length + rush.refused + rush.unclear,
    seconds: rush.seconds,
    sold: books.standing.length,
    left: books.stock.reduce((sum, num) => sum + num, 0),
    takenBack: books.takenBack.length,
    wrong: discrepancies(books, initial, rush),
  }
}

const HEAD = ['run', 'requests', 'answered in', 'answers/s', 'sold', 'sold/s', 'left', 'taken back', 'inconsistent']

/** The table, with what has been published beside it. */
export function tableOf(lines: readonly Line[]): string {
  const rows = [HEAD, ...lines.map(cellsOf)]
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row.map((cell, column) =>
        isText(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      ),
    )
    .map((row) => row.join('  ').trimEnd())
    .join('\n')
}

const isText = (column: number) => column === 0 || column === HEAD.length - 1

function cellsOf({ run, requests, seconds, sold, left, takenBack, wrong }: Line): string[] {
  return [
    run,
    requests.toLocaleString('en'),
    `${seconds.toFixed(2)} s`,
    Math.round(requests / seconds).toLocaleString('en'),
    String(sold),
    (sold / seconds).toFixed(sold / seconds < 20 ? 1 : 0),
    String(left),
    takenBack?.toLocaleString('en') ?? 'many',
    wrong.length === 0 ? '0' : wrong.join(', '),
  ]
}
