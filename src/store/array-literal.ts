/** What the arrays of our statements hold. */
export type ArrayItem = string | number | Buffer | Date | null

/**
 * An array as PostgreSQL reads it. Done here and not left to pg, so that a statement with arrays can be sent by
 * anybody who can send text.
 */
export function arrayLiteral(items: readonly ArrayItem[]): string {
  return `{${items.map(itemLiteral).join(',')}}`
}

function itemLiteral(item: ArrayItem): string {
  if (item === null) return 'NULL'
  if (typeof item === 'number') return String(item)
  if (item instanceof Date) return `"${item.toISOString()}"`
  if (typeof item !== 'string') return `"\\\\x${item.toString('hex')}"`
  return `"${item.replace(/["\\]/g, '\\$&')}"`
}
