import { errorText } from '../../engine/error-text.ts'

/** The widest that a column can be; whoever writes a row chooses what stands in its cells. */
const CELL_CHARACTERS_MAX = 200

/**
 * Columns side by side, as wide as their widest cell; two spaces between them, none at the end of a line. A cell is one
 * line and no wider than {@link CELL_CHARACTERS_MAX}.
 */
export function formatTable(rows: readonly (readonly string[])[], indent = ''): readonly string[] {
  const widths: number[] = []
  const shown = rows.map((row) => row.map(cellText))
  for (const row of shown) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length)
  }
  return shown.map((row) =>
    `${indent}${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd(),
  )
}

/** A text in one line of at most `length` characters, without what would move a cursor; what was cut is marked. */
export function shorten(text: string, length: number): string {
  return errorText(text, length)
}

/** A cell that is harmless stays as it is laid out. */
function cellText(cell: string): string {
  return cell.length <= CELL_CHARACTERS_MAX && !/[\n\r\t]/.test(cell) ? cell : shorten(cell, CELL_CHARACTERS_MAX)
}
