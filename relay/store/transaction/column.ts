/** What a column of a statement over many rows can hold. */
export type ColumnValue = string | number | Buffer | null | undefined

/**
 * One column of many rows, as a parameter for `unnest`: an array as PostgreSQL reads it, written here in one pass, which
 * takes a third of the time that pg needs for it.
 *
 * Null if no row has anything in it: `unnest` of several arrays fills up the shorter ones, so that says the same, and
 * nobody writes, sends or reads a list of nulls. At least one column of the statement must have a value in every row.
 */
export function column<Row>(rows: readonly Row[], value: (row: Row) => ColumnValue): string | null {
  let text = '{'
  let isEmpty = true
  for (const row of rows) {
    if (text !== '{') text += ','
    const item = value(row)
    if (item === null || item === undefined) text += 'NULL'
    else {
      isEmpty = false
      text += literal(item)
    }
  }
  return isEmpty ? null : `${text}}`
}

function literal(item: string | number | Buffer): string {
  if (typeof item === 'number') return String(item)
  if (typeof item !== 'string') return `"\\\\x${item.toString('hex')}"`
  return SPECIAL.test(item) ? `"${item.replace(/["\\]/g, '\\$&')}"` : `"${item}"`
}

const SPECIAL = /["\\]/
