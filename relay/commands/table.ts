/** Columns side by side, as wide as their widest cell; two spaces between them, none at the end of a line. */
export function formatTable(rows: readonly (readonly string[])[], indent = ''): readonly string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length)
  }
  return rows.map((row) =>
    `${indent}${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd(),
  )
}

/** A text in one line of at most `length` characters; what was cut is marked. */
export function shorten(text: string, length: number): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they come from outside and could move the cursor
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ')
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`
}
